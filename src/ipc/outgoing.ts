import { HamletError } from '../lib/errors.js';
import { CallTable } from './call-table.js';
import { decode, decodeAll } from './codec.js';
import { deadlineOf } from './deadline.js';
import { type Deferred, deferred } from './deferred.js';
import { MeshError } from './errors.js';
import { FLAG_MORE, type Frame, FrameType, slotOf, WINDOW_BYTES } from './frame.js';
import type { Welcome } from './handshake.js';
import type { SlabWriter } from './writer.js';

/** A request travels in one frame. */
export const MAX_REQUEST_BYTES = 1024 * 1024;
/** An answer or an item that comes in chunks is put together up to this size. */
export const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** A unary call without a deadline of its own and of its contract ends after this time. */
export const DEFAULT_DEADLINE_MS = 10_000;
/** Past this much unsent data a new call is refused: the router does not read. */
const MAX_BACKLOG_BYTES = 8 * 1024 * 1024;
/** Past this many open calls a new one is refused. */
const MAX_OPEN_CALLS = 65_536;

/** What a call needs to know of its method. */
export interface Target {
  readonly service: string;
  /** "service.method", as in the REQUEST. */
  readonly key: string;
}

export interface CallLimits {
  /** Milliseconds; Infinity for none. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
}

type CallArguments = [
  calls: OutgoingCalls,
  id: number,
  slot: number,
  key: string,
  deadlineAtMs: number,
  signal: AbortSignal | undefined,
];
type CallConstructor<T> = new (...options: CallArguments) => T;

/** One open call, seen from its caller. */
abstract class OutgoingCall {
  readonly id: number;
  readonly slot: number;
  readonly key: string;
  /** On performance.now()'s clock; Infinity for none. */
  readonly deadlineAtMs: number;
  readonly #calls: OutgoingCalls;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: (() => void) | undefined;
  /** The chunks of a message whose end has not come yet. */
  #parts: Buffer[] | undefined;
  #partBytes = 0;

  constructor(...[calls, id, slot, key, deadlineAtMs, signal]: CallArguments) {
    this.id = id;
    this.slot = slot;
    this.key = key;
    this.deadlineAtMs = deadlineAtMs;
    this.#calls = calls;
    if (signal !== undefined) {
      this.#signal = signal;
      this.#onAbort = () => this.abandon(cancelled(key, signal));
      signal.addEventListener('abort', this.#onAbort);
    }
  }

  /** Ends the call from this side, and tells the other. */
  abandon(error: HamletError): void {
    this.#calls.cancel(this);
    this.finish(error);
  }

  /** Ends the call: takes it off the table and tells whoever waits. */
  finish(error: HamletError | undefined): void {
    if (!this.#calls.remove(this)) return;
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#parts = undefined;
    if (error !== undefined) this.failed(error);
  }

  /** A RESPONSE or ITEM frame: whole messages go to received(), parts are gathered until they are one. */
  data(frame: Frame): void {
    const bytes = frame.end - frame.start;
    if (this.#partBytes + bytes > MAX_ANSWER_BYTES) {
      this.abandon(new HamletError('RESOURCE_EXHAUSTED', `an answer over ${MAX_ANSWER_BYTES} bytes`));
      return;
    }
    const more = (frame.flags & FLAG_MORE) !== 0;
    if (!more && this.#partBytes === 0) {
      this.received(frame.buffer, frame.start, frame.end, bytes);
      return;
    }
    this.#parts ??= [];
    this.#parts.push(Buffer.from(frame.buffer.subarray(frame.start, frame.end)));
    this.#partBytes += bytes;
    if (more) {
      this.#calls.credit(this, bytes);
      return;
    }
    const whole = Buffer.concat(this.#parts, this.#partBytes);
    this.#parts = undefined;
    this.#partBytes = 0;
    this.received(whole, 0, whole.length, bytes);
  }

  protected abstract failed(error: HamletError): void;
  /** A whole message; `bytes` of it have not been credited yet. */
  protected abstract received(buffer: Buffer, start: number, end: number, bytes: number): void;
  abstract ended(): void;
}

class UnaryCall extends OutgoingCall {
  resolve!: (value: unknown) => void;
  reject!: (error: HamletError) => void;

  protected override failed(error: HamletError): void {
    this.reject(error);
  }

  protected override received(buffer: Buffer, start: number, end: number): void {
    try {
      this.resolve(decode(buffer, start, end));
    } catch (cause) {
      this.reject(new HamletError('INTERNAL', 'an answer that cannot be read', { cause }));
    }
    this.finish(undefined);
  }

  override ended(): void {
    this.finish(new HamletError('INTERNAL', 'END instead of a response'));
  }
}

interface Batch {
  readonly items: readonly unknown[];
  next: number;
  readonly bytes: number;
}

/** A stream's caller side: items wait here until they are asked for, and only then is their credit given back. */
export class StreamCall extends OutgoingCall implements AsyncIterator<unknown, undefined> {
  #batches: Batch[] = [];
  #current: Batch | undefined;
  #consumedBytes = 0;
  #waiting: Deferred<IteratorResult<unknown, undefined>>[] = [];
  #over = false;
  #error: HamletError | undefined;
  readonly #grant: (bytes: number) => void;

  constructor(...options: CallArguments) {
    super(...options);
    const [calls] = options;
    this.#grant = (bytes) => calls.credit(this, bytes);
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    const current = this.#current;
    if (current !== undefined) return Promise.resolve({ done: false, value: this.#take(current) });
    if (!this.#over) {
      const waiter = deferred<IteratorResult<unknown, undefined>>();
      this.#waiting.push(waiter);
      return waiter.promise;
    }
    const error = this.#error;
    this.#error = undefined;
    return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
  }

  return(): Promise<IteratorResult<unknown, undefined>> {
    if (!this.#over) this.abandon(new HamletError('CANCELLED', 'the reader left'));
    this.#current = undefined;
    this.#batches = [];
    this.#error = undefined;
    return Promise.resolve({ done: true, value: undefined });
  }

  override ended(): void {
    this.#over = true;
    this.finish(undefined);
    this.#settleWaiting();
  }

  protected override failed(error: HamletError): void {
    this.#over = true;
    this.#error = error;
    this.#settleWaiting();
  }

  protected override received(buffer: Buffer, start: number, end: number, bytes: number): void {
    let items: unknown[];
    try {
      items = decodeAll(buffer, start, end);
    } catch (cause) {
      this.abandon(new HamletError('INTERNAL', 'an item that cannot be read', { cause }));
      return;
    }
    if (items.length === 0) return this.#grant(bytes);
    const batch = { items, next: 0, bytes };
    if (this.#current === undefined) this.#current = batch;
    else this.#batches.push(batch);
    this.#serveWaiting();
  }

  #serveWaiting(): void {
    while (this.#current !== undefined) {
      const waiter = this.#waiting.shift();
      if (waiter === undefined) return;
      waiter.resolve({ done: false, value: this.#take(this.#current) });
    }
  }

  #take(batch: Batch): unknown {
    const item = batch.items[batch.next];
    batch.next += 1;
    if (batch.next < batch.items.length) return item;
    this.#current = this.#batches.shift();
    this.#consumedBytes += batch.bytes;
    if (!this.#over && this.#consumedBytes >= WINDOW_BYTES / 4) {
      this.#grant(this.#consumedBytes);
      this.#consumedBytes = 0;
    }
    return item;
  }

  #settleWaiting(): void {
    for (const waiter of this.#waiting) {
      if (this.#error === undefined) waiter.resolve({ done: true, value: undefined });
      else waiter.reject(this.#error);
      this.#error = undefined;
    }
    this.#waiting = [];
  }
}

function cancelled(key: string, signal: AbortSignal): HamletError {
  const reason: unknown = signal.reason;
  const code = reason instanceof Error && reason.name === 'TimeoutError' ? 'DEADLINE_EXCEEDED' : 'CANCELLED';
  return new HamletError(code, `${key}: given up by the caller`, { cause: reason });
}

/** The calls that a connection has made and that are not over yet. */
export class OutgoingCalls {
  readonly writer: SlabWriter;
  readonly #calls = new CallTable<OutgoingCall>();
  #routes: Readonly<Record<string, number>> = {};
  #closed: HamletError | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Infinity;

  constructor(writer: SlabWriter) {
    this.writer = writer;
  }

  /** How many calls are open. */
  get size(): number {
    return this.#calls.size;
  }

  welcome(welcome: Welcome): void {
    this.#routes = welcome.routes;
  }

  /** Makes a unary call. The promise is rejected with a HamletError, and with nothing else. */
  unary(target: Target, request: unknown, limits: CallLimits): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const call = this.#open(UnaryCall, target, request, limits);
      call.resolve = resolve;
      call.reject = reject;
    });
  }

  /** Starts a stream. Throws what keeps it from being started. */
  stream(target: Target, request: unknown, limits: CallLimits): StreamCall {
    return this.#open(StreamCall, target, request, limits);
  }

  #open<T extends OutgoingCall>(
    Call: CallConstructor<T>,
    target: Target,
    request: unknown,
    limits: CallLimits,
  ): T {
    const { key } = target;
    if (this.#closed !== undefined) throw this.#closed;
    if (limits.signal?.aborted) throw cancelled(key, limits.signal);
    const slot = this.#routes[target.service];
    if (slot === undefined) {
      throw new HamletError('PERMISSION_DENIED', `${key}: the declaration of this endpoint does not name it`);
    }
    if (this.writer.backlogBytes > MAX_BACKLOG_BYTES || this.#calls.size >= MAX_OPEN_CALLS) {
      throw new MeshError('RESOURCE_EXHAUSTED', `${key}: too many calls of this endpoint are open`);
    }
    const nowMs = performance.now();
    const deadlineAtMs = Math.min(nowMs + limits.deadlineMs, deadlineOf(limits.signal));
    if (deadlineAtMs <= nowMs) throw new HamletError('DEADLINE_EXCEEDED', `${key}: no time left`);
    const id = this.#calls.newId();
    this.#sendRequest(
      slot,
      id,
      key,
      deadlineAtMs === Infinity ? 0 : Math.ceil(deadlineAtMs - nowMs),
      request,
    );
    const call = new Call(this, id, slot, key, deadlineAtMs, limits.signal);
    this.#calls.add(call);
    if (call.deadlineAtMs < this.#timerAtMs) this.#arm(call.deadlineAtMs);
    return call;
  }

  #sendRequest(slot: number, id: number, key: string, remainingMs: number, request: unknown): void {
    let large: Buffer | undefined;
    try {
      large = this.writer.message(FrameType.REQUEST, slot, id, [key, remainingMs, request]);
    } catch (cause) {
      throw new HamletError('INVALID_ARGUMENT', `${key}: the request cannot be sent`, { cause });
    }
    if (large === undefined) return;
    if (large.length > MAX_REQUEST_BYTES) {
      throw new HamletError('INVALID_ARGUMENT', `${key}: a request of ${large.length} bytes is too large`);
    }
    this.writer.frame(FrameType.REQUEST, 0, slot, id, large);
  }

  /**
   * One timer, for the earliest deadline of all: calls with deadlines are made far more often than one passes.
   */
  #arm(atMs: number): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    if (atMs === Infinity) return;
    this.#timer = setTimeout(() => this.#onTimer(), Math.max(0, atMs - performance.now()));
  }

  #onTimer(): void {
    const nowMs = performance.now();
    let nextMs = Infinity;
    for (const call of this.#calls.all()) {
      if (call.deadlineAtMs <= nowMs) {
        call.abandon(new HamletError('DEADLINE_EXCEEDED', `${call.key}: no answer in time`));
      } else {
        nextMs = Math.min(nextMs, call.deadlineAtMs);
      }
    }
    this.#arm(nextMs);
  }

  /** A RESPONSE, ITEM or END frame. */
  answer(frame: Frame): void {
    const call = this.#find(frame);
    if (call === undefined) {
      // An item nobody waits for: its call ended here without the other side having heard of it.
      if (frame.type === FrameType.ITEM) this.#cancel(frame.source, frame.call);
    } else if (frame.type === FrameType.END) {
      call.ended();
    } else {
      call.data(frame);
    }
  }

  error(frame: Frame, error: HamletError): void {
    this.#find(frame)?.finish(error);
  }

  /** The endpoint at `slot` is gone, or frames from it are lost: every call to it is over. */
  reset(slot: number, error: HamletError): void {
    for (const call of this.#calls.all()) {
      if (call.slot === slot) call.abandon(error);
    }
  }

  close(error: HamletError): void {
    this.#closed = error;
    clearTimeout(this.#timer);
    for (const call of this.#calls.all()) call.finish(error);
  }

  remove(call: OutgoingCall): boolean {
    return this.#calls.delete(call);
  }

  cancel(call: OutgoingCall): void {
    if (this.#calls.get(call.id) === call) this.#cancel(call.slot, call.id);
  }

  credit(call: OutgoingCall, bytes: number): void {
    if (this.#closed === undefined) this.writer.message(FrameType.CREDIT, call.slot, call.id, bytes);
  }

  #find(frame: Frame): OutgoingCall | undefined {
    const call = this.#calls.get(frame.call);
    return call?.slot === slotOf(frame.source) ? call : undefined;
  }

  #cancel(destination: number, id: number): void {
    if (this.#closed === undefined) this.writer.frame(FrameType.CANCEL, 0, destination, id);
  }
}
