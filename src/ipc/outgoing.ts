import { codeOf, HamletError } from '../lib/errors.js';
import { CallTable } from './call-table.js';
import { deadlineOf, MAX_TIMER_MS } from './deadline.js';
import { MeshError } from './errors.js';
import { type Frame, FrameType, slotOf } from './frame.js';
import type { Welcome } from './handshake.js';
import {
  type CallArguments,
  type CallOwner,
  type OutgoingCall,
  StreamCall,
  UnaryCall,
} from './outgoing-call.js';
import { type Large, sizeOf, type SlabWriter } from './writer.js';

/** A request travels in one frame. */
export const MAX_REQUEST_BYTES = 1024 * 1024;
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

/** A caller's signal, and the calls that end with it. */
interface Watch {
  readonly calls: Set<OutgoingCall>;
  readonly onAbort: () => void;
}

/** The calls that a connection has made and that are not over yet. */
export class OutgoingCalls implements CallOwner {
  readonly writer: SlabWriter;
  readonly #calls = new CallTable<OutgoingCall>();
  readonly #watches = new Map<AbortSignal, Watch>();
  #routes: ReadonlyMap<string, number> = new Map();
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
    this.#routes = new Map(Object.entries(welcome.routes));
  }

  /** Makes a unary call; Infinity means no deadline. The promise is rejected with a HamletError, and with nothing else. */
  unary(
    target: Target,
    request: unknown,
    deadlineMs: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const call = this.#open(UnaryCall, target, request, deadlineMs, signal);
      call.resolve = resolve;
      call.reject = reject;
    });
  }

  /** Starts a stream. Throws what keeps it from being started. */
  stream(target: Target, request: unknown, deadlineMs: number, signal: AbortSignal | undefined): StreamCall {
    return this.#open(StreamCall, target, request, deadlineMs, signal);
  }

  /** A RESPONSE, ITEM or END frame. */
  answer(frame: Frame): void {
    const call = this.#find(frame);
    if (call === undefined) {
      // An item nobody waits for: its call ended here without the other side having heard of it.
      if (frame.type === FrameType.ITEM) this.#sendCancel(frame.source, frame.call);
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
      // Its successor may have got the request already.
      if (call.slot === slot) call.abandon(error);
    }
  }

  close(error: HamletError): void {
    this.#closed = error;
    clearTimeout(this.#timer);
    for (const call of this.#calls.all()) call.finish(error);
  }

  remove(call: OutgoingCall): boolean {
    if (!this.#calls.delete(call)) return false;
    if (call.signal !== undefined) this.#unwatch(call.signal, call);
    return true;
  }

  cancel(call: OutgoingCall): void {
    if (this.#calls.get(call.id) === call) this.#sendCancel(call.slot, call.id);
  }

  credit(call: OutgoingCall, bytes: number): void {
    if (this.#closed === undefined) this.writer.message(FrameType.CREDIT, call.slot, call.id, bytes);
  }

  #open<T extends OutgoingCall>(
    Call: new (...options: CallArguments) => T,
    target: Target,
    request: unknown,
    deadlineMs: number,
    signal: AbortSignal | undefined,
  ): T {
    const { key } = target;
    if (this.#closed !== undefined) throw this.#closed;
    if (signal?.aborted === true) throw givenUp(key, signal);
    const slot = this.#routes.get(target.service);
    if (slot === undefined) {
      throw new HamletError('PERMISSION_DENIED', `${key}: the declaration of this endpoint does not name it`);
    }
    if (this.writer.backlogBytes > MAX_BACKLOG_BYTES || this.#calls.size >= MAX_OPEN_CALLS) {
      throw new MeshError('RESOURCE_EXHAUSTED', `${key}: too many calls of this endpoint are open`);
    }
    const nowMs = performance.now();
    const remainingMs = Math.min(deadlineMs, deadlineOf(signal) - nowMs);
    if (remainingMs <= 0) throw new HamletError('DEADLINE_EXCEEDED', `${key}: no time left`);
    const id = this.#calls.newId();
    this.#sendRequest(slot, id, key, remainingMs, request);
    const deadlineAtMs = nowMs + remainingMs;
    const call = new Call(this, id, slot, key, deadlineAtMs, signal);
    this.#calls.add(call);
    if (deadlineAtMs < this.#timerAtMs) this.#arm(deadlineAtMs);
    if (signal !== undefined) this.#watch(signal, call);
    return call;
  }

  #sendRequest(slot: number, id: number, key: string, remainingMs: number, request: unknown): void {
    // Rounded down, so that it never grows on the way; 0 would stand for no deadline.
    const wholeMs = remainingMs === Infinity ? 0 : Math.max(1, Math.floor(remainingMs));
    let large: Large | undefined;
    try {
      large = this.writer.message(FrameType.REQUEST, slot, id, [key, wholeMs, request]);
    } catch (cause) {
      throw new HamletError('INVALID_ARGUMENT', `${key}: the request cannot be sent`, { cause });
    }
    if (large === undefined) return;
    if (sizeOf(large) > MAX_REQUEST_BYTES) {
      throw new HamletError('INVALID_ARGUMENT', `${key}: a request of ${sizeOf(large)} bytes is too large`);
    }
    this.writer.frame(FrameType.REQUEST, 0, slot, id, large);
  }

  /** One timer, for the earliest deadline: far more deadlines are set than pass. */
  #arm(atMs: number): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    if (atMs === Infinity) return;
    const waitMs = Math.min(Math.max(0, atMs - performance.now()), MAX_TIMER_MS);
    this.#timer = setTimeout(() => this.#onTimer(), waitMs);
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

  /** One listener for each signal, however many calls it ends. */
  #watch(signal: AbortSignal, call: OutgoingCall): void {
    const watch = this.#watches.get(signal);
    if (watch !== undefined) {
      watch.calls.add(call);
      return;
    }
    const calls = new Set([call]);
    const onAbort = () => {
      for (const each of [...calls]) each.abandon(givenUp(each.key, signal));
    };
    signal.addEventListener('abort', onAbort);
    this.#watches.set(signal, { calls, onAbort });
  }

  #unwatch(signal: AbortSignal, call: OutgoingCall): void {
    const watch = this.#watches.get(signal);
    if (watch?.calls.delete(call) !== true || watch.calls.size > 0) return;
    signal.removeEventListener('abort', watch.onAbort);
    this.#watches.delete(signal);
  }

  #find(frame: Frame): OutgoingCall | undefined {
    const call = this.#calls.get(frame.call);
    return call?.slot === slotOf(frame.source) ? call : undefined;
  }

  #sendCancel(destination: number, id: number): void {
    if (this.#closed === undefined) this.writer.frame(FrameType.CANCEL, 0, destination, id);
  }
}

/** The error of a call whose caller's signal is aborted. */
export function givenUp(key: string, signal: AbortSignal): HamletError {
  const reason: unknown = signal.reason;
  const code = codeOf(reason) === 'DEADLINE_EXCEEDED' ? 'DEADLINE_EXCEEDED' : 'CANCELLED';
  return new HamletError(code, `${key}: given up by the caller`, { cause: reason });
}
