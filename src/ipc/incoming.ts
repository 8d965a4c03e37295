import * as v from 'valibot';
import { HamletError, isHamletError } from '../lib/errors.js';
import { MAX_MESSAGE_BYTES } from './assembly.js';
import { CallTable } from './call-table.js';
import { decode, encode } from './codec.js';
import type { MeshLog } from './connection.js';
import type { CallContext, Method } from './contract.js';
import { toWire } from './errors.js';
import { CHUNK_BYTES, FLAG_MESH, type Frame, FrameType, HEADER_BYTES, slotOf } from './frame.js';
import type { Welcome } from './handshake.js';
import { IncomingCall } from './incoming-call.js';
import { describeIssues } from './issues.js';
import { type Large, sizeOf, sliceOf, type SlabWriter } from './writer.js';

/** Past this many open calls of one source a new one is refused. */
const MAX_CALLS_PER_SOURCE = 16_384;

/** Gives the response or a promise of it, or the items as an AsyncIterable. */
type AnyHandler = (request: unknown, context: CallContext) => unknown;

/** A method and what answers it. */
export interface Registered {
  readonly service: string;
  readonly method: Method;
  readonly handler: AnyHandler;
}

/** The calls that a connection is asked to answer, and the handlers for them. */
export class IncomingCalls {
  readonly #writer: SlabWriter;
  readonly #log: MeshLog;
  readonly #nameOf: (address: number) => string;
  readonly #methods = new Map<string, Registered>();
  readonly #services = new Set<string>();
  readonly #bySource = new Map<number, CallTable<IncomingCall>>();
  #callers: ReadonlyMap<string, readonly number[]> = new Map();

  constructor(writer: SlabWriter, log: MeshLog, nameOf: (address: number) => string) {
    this.#writer = writer;
    this.#log = log;
    this.#nameOf = nameOf;
  }

  /** How many calls are open. */
  get size(): number {
    let size = 0;
    for (const calls of this.#bySource.values()) size += calls.size;
    return size;
  }

  welcome(welcome: Welcome): void {
    this.#callers = new Map(Object.entries(welcome.callers));
  }

  /** Throws FAILED_PRECONDITION if this endpoint does not declare the service, or serves it already. */
  register(service: string, methods: ReadonlyMap<string, Registered>): void {
    if (!this.#callers.has(service)) {
      throw new HamletError('FAILED_PRECONDITION', `this endpoint's declaration does not serve ${service}`);
    }
    if (this.#services.has(service))
      throw new HamletError('FAILED_PRECONDITION', `${service} is served twice`);
    this.#services.add(service);
    for (const [key, registered] of methods) this.#methods.set(key, registered);
  }

  request(frame: Frame): void {
    const { source, call: id } = frame;
    let request: [key: string, remainingMs: number, body: unknown];
    try {
      request = parseRequest(decode(frame));
    } catch (error) {
      return this.#refuse(
        source,
        id,
        new HamletError('INVALID_ARGUMENT', 'a malformed request', { cause: error }),
      );
    }
    const [key, remainingMs, body] = request;
    const registered = this.#methods.get(key);
    if (registered === undefined) return this.#refuseUnknown(source, id, key);
    if (this.#callers.get(registered.service)?.includes(slotOf(source)) !== true) {
      const message = `${this.#nameOf(source)} may not call ${registered.service}`;
      return this.#refuse(source, id, new HamletError('PERMISSION_DENIED', message));
    }
    const calls = this.#callsOf(source);
    if (calls.get(id) !== undefined) {
      this.#log.warn(
        { source: this.#nameOf(source), call: id, key },
        'a second request for one call is ignored',
      );
      return;
    }
    if (calls.size >= MAX_CALLS_PER_SOURCE) {
      const message = `${key}: ${calls.size} calls of ${this.#nameOf(source)} are open`;
      return this.#refuse(source, id, new HamletError('RESOURCE_EXHAUSTED', message));
    }
    const parsed = v.safeParse(registered.method.request, body);
    if (!parsed.success) {
      return this.#refuse(
        source,
        id,
        new HamletError('INVALID_ARGUMENT', `${describeIssues(parsed.issues)} (${key})`),
      );
    }
    const { windowBytes } = registered.method;
    const call = new IncomingCall(id, source, this.#nameOf(source), key, remainingMs, windowBytes);
    if (registered.method.kind === 'unary') {
      this.#unary(calls, call, registered.handler, parsed.output);
    } else {
      calls.add(call);
      void this.#stream(call, registered.handler, parsed.output);
    }
  }

  cancel(frame: Frame): void {
    const call = this.#bySource.get(frame.source)?.get(frame.call);
    if (call === undefined) return;
    this.#remove(call);
    call.end(new HamletError('CANCELLED', `${call.key}: the caller has given up`));
  }

  credit(frame: Frame): void {
    const call = this.#bySource.get(frame.source)?.get(frame.call);
    if (call === undefined) return;
    const bytes = creditOf(frame);
    if (bytes > 0) call.grant(bytes);
  }

  /** The endpoint at `address` is gone: its calls are over. */
  reset(address: number, error: HamletError): void {
    const calls = this.#bySource.get(address);
    if (calls === undefined) return;
    this.#bySource.delete(address);
    for (const call of calls.all()) call.end(error);
  }

  close(error: HamletError): void {
    for (const address of [...this.#bySource.keys()]) this.reset(address, error);
  }

  #unary(calls: CallTable<IncomingCall>, call: IncomingCall, handler: AnyHandler, request: unknown): void {
    try {
      const result = handler(request, call);
      if (result instanceof Promise) {
        calls.add(call);
        result.then(
          (response) => this.#respond(call, response),
          (error: unknown) => this.#fail(call, error),
        );
      } else {
        this.#respond(call, result);
      }
    } catch (error) {
      this.#fail(call, error);
    }
  }

  #respond(call: IncomingCall, response: unknown): void {
    if (call.over) return;
    try {
      const large = this.#writer.message(FrameType.RESPONSE, call.address, call.id, response);
      if (large === undefined) return this.#remove(call);
      const calls = this.#callsOf(call.address);
      if (calls.get(call.id) === undefined) calls.add(call);
      this.#chunks(FrameType.RESPONSE, call, large).then(
        () => this.#remove(call),
        (error: unknown) => this.#fail(call, error),
      );
    } catch (error) {
      this.#fail(call, error);
    }
  }

  async #stream(call: IncomingCall, handler: AnyHandler, request: unknown): Promise<void> {
    let iterator: AsyncIterator<unknown> | undefined;
    try {
      iterator = (handler(request, call) as AsyncIterable<unknown>)[Symbol.asyncIterator]();
      for (;;) {
        const next = await iterator.next();
        if (call.over || next.done === true) break;
        const sent = this.#writer.item(call.address, call.id, next.value);
        if (typeof sent === 'number') {
          call.creditBytes -= sent;
        } else {
          await this.#chunks(FrameType.ITEM, call, sent);
        }
        if (call.creditBytes <= 0) await call.credit();
        const congestion = this.#writer.congestion();
        if (congestion !== undefined) await congestion;
      }
    } catch (error) {
      this.#fail(call, error);
    }
    if (call.over) {
      iterator?.return?.().then(undefined, () => undefined);
    } else {
      this.#remove(call);
      this.#writer.frame(FrameType.END, 0, call.address, call.id);
    }
  }

  /** Sends a message in chunks, each when the caller has room for it. */
  async #chunks(type: FrameType, call: IncomingCall, message: Large): Promise<void> {
    const bytes = sizeOf(message);
    if (bytes > MAX_MESSAGE_BYTES) {
      throw new HamletError('RESOURCE_EXHAUSTED', `${call.key}: an answer of ${bytes} bytes is too large`);
    }
    for (let start = 0, rest = Math.ceil(bytes / CHUNK_BYTES); rest > 0; start += CHUNK_BYTES) {
      if (call.creditBytes <= 0) await call.credit();
      const congestion = this.#writer.congestion();
      if (congestion !== undefined) await congestion;
      if (call.over) return;
      rest -= 1;
      const end = Math.min(bytes, start + CHUNK_BYTES);
      call.creditBytes -= HEADER_BYTES + end - start;
      this.#writer.frame(type, 0, call.address, call.id, sliceOf(message, start, end), rest);
    }
  }

  #fail(call: IncomingCall, error: unknown): void {
    if (call.over) return;
    if (!isHamletError(error)) {
      this.#log.error({ err: error, method: call.key, source: call.source }, 'a handler has thrown');
    }
    this.#remove(call);
    call.end(new HamletError('CANCELLED', `${call.key}: the call has failed`, { cause: error }));
    this.#refuse(call.address, call.id, error);
  }

  #refuse(address: number, id: number, error: unknown, flags = 0): void {
    this.#writer.frame(FrameType.ERROR, flags, address, id, [encode(toWire(error))]);
  }

  #refuseUnknown(address: number, id: number, key: string): void {
    const service = key.slice(0, key.lastIndexOf('.'));
    if (this.#services.has(service) || !this.#callers.has(service)) {
      this.#refuse(address, id, new HamletError('UNIMPLEMENTED', `${key}: no such method`));
    } else {
      this.#refuse(address, id, new HamletError('UNAVAILABLE', `${service} is not served yet`), FLAG_MESH);
    }
  }

  #callsOf(source: number): CallTable<IncomingCall> {
    let calls = this.#bySource.get(source);
    if (calls === undefined) {
      calls = new CallTable();
      this.#bySource.set(source, calls);
    }
    return calls;
  }

  #remove(call: IncomingCall): void {
    call.release();
    this.#bySource.get(call.address)?.delete(call);
  }
}

/** The bytes that a CREDIT grants; 0 if it cannot be read. */
function creditOf(frame: Frame): number {
  try {
    const bytes = decode(frame);
    return typeof bytes === 'number' && Number.isInteger(bytes) ? bytes : 0;
  } catch {
    return 0;
  }
}

function parseRequest(body: unknown): [key: string, remainingMs: number, body: unknown] {
  if (!Array.isArray(body) || body.length < 2 || body.length > 3) throw new Error('not an array of three');
  const [key, remainingMs, request] = body as [unknown, unknown, unknown];
  if (typeof key !== 'string') throw new Error('the method is not a string');
  if (typeof remainingMs !== 'number' || !(remainingMs >= 0)) throw new Error('the deadline is not a number');
  return [key, remainingMs, request];
}
