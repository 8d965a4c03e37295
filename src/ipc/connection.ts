import { connect as connectSocket, type OnReadOpts, type Socket } from 'node:net';
import type { Logger } from 'pino';
import * as v from 'valibot';
import { HamletError, messageOf } from '../lib/errors.js';
import { decode } from './codec.js';
import { deferred } from './deferred.js';
import { fromWire, MeshError } from './errors.js';
import { type Frame, FrameReader, FrameType, slotOf } from './frame.js';
import { type Hello, PROTOCOL_VERSION, Welcome } from './handshake.js';
import { IncomingCalls } from './incoming.js';
import { OutgoingCalls } from './outgoing.js';
import { SlabWriter } from './writer.js';

/** The part of a pino logger that the mesh uses. */
export type MeshLog = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

/** How long the router may take to answer a HELLO. */
const HANDSHAKE_MS = 10_000;

/** What is read from the socket at once: several chunks of a large answer. */
const READ_BYTES = 256 * 1024;

/** How much a socket holds before write() says "wait". */
export const SOCKET_BUFFER_BYTES = 256 * 1024;

export interface ConnectOptions {
  /** The router's socket. */
  readonly path: string;
  /** The endpoint's name, as declared to the router. */
  readonly name: string;
  /** What Router.admit() gave for that name. */
  readonly secret: string;
  readonly log: MeshLog;
  readonly signal?: AbortSignal;
}

/** An endpoint's place on the mesh: it calls other endpoints through it, and serves them. */
export class Connection {
  readonly name: string;
  readonly log: MeshLog;
  /** Resolves when the connection is gone: with the error that ended it, or undefined after close(). */
  readonly closed: Promise<HamletError | undefined>;
  /** @internal */
  readonly outgoing: OutgoingCalls;
  /** @internal */
  readonly incoming: IncomingCalls;
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  readonly #sink: (frame: Frame) => void;
  readonly #ready = deferred<undefined>();
  #names: readonly string[] = [];
  #end: HamletError | undefined;
  #closing = false;
  #welcomed = false;

  /** @internal Use connect(). */
  constructor(socket: Socket, name: string, log: MeshLog) {
    this.name = name;
    this.log = log;
    this.#socket = socket;
    const writer = new SlabWriter(socket);
    this.outgoing = new OutgoingCalls(writer);
    this.incoming = new IncomingCalls(writer, log, (address) => this.#nameOf(address));
    this.#ready.promise.catch(() => undefined);
    this.#sink = (frame) => this.#dispatch(frame);
    socket.on('error', (error) => {
      this.#end ??= new MeshError('UNAVAILABLE', `${this.name}: connection lost`, { cause: error });
    });
    this.closed = new Promise((resolve) => {
      socket.on('close', () => resolve(this.#onClose()));
    });
  }

  /** @internal Takes what the socket brings: `bytes` from the start of `chunk`. */
  receive(chunk: Buffer, bytes: number): void {
    try {
      this.#reader.read(chunk, bytes, this.#sink);
    } catch (error) {
      this.destroy(new HamletError('INTERNAL', `${this.name}: bad data from the router`, { cause: error }));
    }
  }

  /** @internal Says hello and waits for the answer. */
  async handshake(secret: string, signal: AbortSignal): Promise<void> {
    const hello: Hello = { version: PROTOCOL_VERSION, name: this.name, secret };
    this.outgoing.writer.message(FrameType.HELLO, 0, 0, hello);
    const abort = () => {
      this.destroy(
        new HamletError('CANCELLED', `${this.name}: handshake given up`, { cause: signal.reason }),
      );
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      if (signal.aborted) abort();
      await this.#ready.promise;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** Sends what was written, then ends the connection. Open calls end with UNAVAILABLE. */
  async close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      this.outgoing.writer.flush();
      this.#socket.end(() => this.#socket.destroy());
    }
    await this.closed;
  }

  /** Ends the connection at once. */
  destroy(error: HamletError): void {
    this.#end ??= error;
    this.#reader.stop();
    this.#socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #nameOf(address: number): string {
    return this.#names[slotOf(address)] ?? `#${slotOf(address)}`;
  }

  #dispatch(frame: Frame): void {
    if (!this.#welcomed) return this.#welcome(frame);
    switch (frame.type) {
      case FrameType.REQUEST:
        return this.incoming.request(frame);
      case FrameType.RESPONSE:
      case FrameType.ITEM:
      case FrameType.END:
        return this.outgoing.answer(frame);
      case FrameType.ERROR: {
        const error = fromWire(frame);
        if (frame.call === 0) {
          this.outgoing.reset(slotOf(frame.source), error);
          this.incoming.reset(frame.source, error);
        } else {
          this.outgoing.error(frame, error);
        }
        return;
      }
      case FrameType.CANCEL:
        return this.incoming.cancel(frame);
      case FrameType.CREDIT:
        return this.incoming.credit(frame);
      case FrameType.HELLO:
        throw new HamletError('INVALID_ARGUMENT', 'a second HELLO');
      default:
        return frame.type satisfies never;
    }
  }

  #welcome(frame: Frame): void {
    if (frame.type === FrameType.ERROR) return this.destroy(fromWire(frame));
    if (frame.type !== FrameType.HELLO) throw new HamletError('INVALID_ARGUMENT', 'a frame before HELLO');
    const welcome = v.parse(Welcome, decode(frame));
    this.#names = welcome.names;
    this.outgoing.welcome(welcome);
    this.incoming.welcome(welcome);
    this.#welcomed = true;
    this.#ready.resolve(undefined);
  }

  #onClose(): HamletError | undefined {
    const error = this.#end ?? new MeshError('UNAVAILABLE', `${this.name}: connection closed`);
    this.#reader.stop();
    this.outgoing.close(error);
    this.incoming.close(error);
    this.#ready.reject(error);
    return this.#closing ? undefined : error;
  }
}

/**
 * Connects to the router and says hello.
 * Throws UNAVAILABLE if the router is not there, UNAUTHENTICATED if name and secret do not fit,
 * DEADLINE_EXCEEDED if it does not answer, CANCELLED if the signal is aborted.
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const timeout = AbortSignal.timeout(HANDSHAKE_MS);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
  // One buffer for all reads: everything that is kept of a chunk is copied out of it.
  const onread: OnReadOpts = {
    buffer: Buffer.allocUnsafeSlow(READ_BYTES),
    callback: (bytes, buffer) => {
      connection.receive(buffer as Buffer, bytes);
      return true;
    },
  };
  const socket = connectSocket({ path: options.path, onread });
  const connection = new Connection(socket, options.name, options.log);
  try {
    await connection.handshake(options.secret, signal);
    return connection;
  } catch (error) {
    if (timeout.aborted && !options.signal?.aborted) {
      throw new HamletError('DEADLINE_EXCEEDED', `${options.name}: no answer from the router`, {
        cause: error,
      });
    }
    if (error instanceof HamletError) throw error;
    throw new HamletError('UNAVAILABLE', messageOf(error), { cause: error });
  }
}
