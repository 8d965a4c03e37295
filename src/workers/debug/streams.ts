import type { Server } from '@grpc/grpc-js';
import {
  constants,
  type Http2Server,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { HamletError } from '../../lib/errors.js';
import type { Terms } from './admission.js';
import { limits, type Budget, type Refusals } from './limits.js';
import { callerOf } from './listener.js';
import type { Peer } from './peer.js';

type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number) => void;

export interface StreamsOptions {
  readonly terms: ReadonlyMap<string, Terms>;
  /** Who is behind a connection, by gRPC's name for it. Throws when it is gone. */
  readonly peerOf: (name: string) => Peer;
  readonly budget: Budget;
  readonly refusals: Refusals;
  /** How long a call without streams may take, until its answer is read. */
  readonly maxUnaryMs?: number;
}

/**
 * The HTTP/2 streams below gRPC's calls. An answer is in memory until its caller has read it, which gRPC neither limits
 * nor counts; and of what is no call of a method that there is, gRPC tells nobody.
 */
export class Streams {
  readonly #options: StreamsOptions;
  readonly #open = new Map<string, number>();
  readonly #idle = new WeakMap<Http2Session, IdleLimit>();

  constructor(options: StreamsOptions) {
    this.#options = options;
  }

  /** Sees each stream of this server from now on before those who listen already. */
  guard(server: Http2Server): void {
    server.on('session', (session) => this.#idle.set(session, new IdleLimit(session)));
    const inner = server.listeners('stream') as OnStream[];
    server.removeAllListeners('stream');
    server.on('stream', (stream, headers, flags) => {
      // gRPC has a listener too, but not on what it is not given.
      stream.on('error', () => undefined);
      if (!this.#takes(stream, headers)) stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      else for (const onStream of inner) onStream.call(server, stream, headers, flags);
    });
  }

  /** Throws RESOURCE_EXHAUSTED when a caller has more calls open than are allowed, this one among them. */
  check(caller: string, terms: Terms): void {
    const { maxCallsOfCaller } = limits;
    const { name, atOnce = maxCallsOfCaller } = terms;
    const refuse = (what: string): never => {
      this.#options.refusals.note(`open ${caller}`, `${caller} has too many calls to the debug API open`);
      throw new HamletError('RESOURCE_EXHAUSTED', `too many calls at a time: ${what} are allowed`);
    };
    if (this.#count(caller) > maxCallsOfCaller) refuse(String(maxCallsOfCaller));
    if (this.#count(kindOf(caller, name)) > atOnce) refuse(`${atOnce} of ${name}`);
  }

  #takes(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
    const { terms, peerOf, budget, refusals } = this.#options;
    let caller: string;
    try {
      caller = callerOf(peerOf(stream.session?.socket.remoteAddress ?? ''));
    } catch {
      return false;
    }
    const isGrpc = headers['content-type']?.startsWith('application/grpc') === true;
    const found = isGrpc ? terms.get(headers[':path'] ?? '') : undefined;
    if (found !== undefined) {
      this.#watch(stream, caller, found);
      return true;
    }
    refusals.note(`unknown ${caller}`, `${caller} asks the debug API for what it does not have`);
    return budget.take(caller);
  }

  #watch(stream: ServerHttp2Stream, caller: string, { name, isUnary }: Terms): void {
    const { refusals, maxUnaryMs = limits.maxUnaryMs } = this.#options;
    const kinds = [caller, kindOf(caller, name)];
    for (const kind of kinds) this.#open.set(kind, this.#count(kind) + 1);
    const end = (): void => {
      refusals.note(`unread ${caller}`, `${caller} does not read what the debug API answers`);
      stream.close(constants.NGHTTP2_CANCEL);
      // What is not sent is given up now, not when it is the turn of the frame that says so.
      stream.destroy();
    };
    const ended = stream.session && this.#idle.get(stream.session)?.begun();
    const late = isUnary ? setTimeout(end, maxUnaryMs) : undefined;
    stream.once('close', () => {
      clearTimeout(late);
      ended?.();
      for (const kind of kinds) {
        const left = this.#count(kind) - 1;
        if (left > 0) this.#open.set(kind, left);
        else this.#open.delete(kind);
      }
    });
  }

  #count(kind: string): number {
    return this.#open.get(kind) ?? 0;
  }
}

/**
 * Closes a connection that has had no call for `limits.maxIdleMs`. grpc-js could too, but asks the wall clock when its
 * timer is over: where that is a millisecond behind, or was put back, the connection stays for as long again.
 */
class IdleLimit {
  readonly #timer: NodeJS.Timeout;
  #calls = 0;

  constructor(session: Http2Session) {
    const close = (): void => {
      if (this.#calls === 0) session.close();
    };
    this.#timer = setTimeout(close, limits.maxIdleMs).unref();
    session.once('close', () => clearTimeout(this.#timer));
  }

  /** A call has begun; what is given back says that it has ended. */
  begun(): () => void {
    this.#calls += 1;
    return () => {
      this.#calls -= 1;
      if (this.#calls === 0) this.#timer.refresh();
    };
  }
}

function kindOf(caller: string, name: string): string {
  return `${name} ${caller}`;
}

/** The HTTP/2 server in grpc-js's, which does not hand it out. Throws INTERNAL when a version has it elsewhere. */
export function http2ServerOf(server: Server): Http2Server {
  const { http2Servers } = server as unknown as { readonly http2Servers?: ReadonlyMap<Http2Server, unknown> };
  const [first] = http2Servers?.keys() ?? [];
  if (first === undefined) throw new HamletError('INTERNAL', 'grpc-js has no HTTP/2 server');
  return first;
}
