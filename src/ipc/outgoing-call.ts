import { HamletError } from '../lib/errors.js';
import { Assembly, MAX_MESSAGE_BYTES } from './assembly.js';
import { decode, decodeAll, type Encoded } from './codec.js';
import { type Deferred, deferred } from './deferred.js';
import { type Frame, FrameType, HEADER_BYTES, SINGLE_BYTES, WINDOW_BYTES } from './frame.js';

/** What a call asks of the table it is in. */
export interface CallOwner {
  /** Takes the call out. Whether it was there. */
  readonly remove: (call: OutgoingCall) => boolean;
  /** Tells the server that nobody waits any more. */
  readonly cancel: (call: OutgoingCall) => void;
  /** Lets the server send so many bytes more. */
  readonly credit: (call: OutgoingCall, bytes: number) => void;
}

/** What every call is made of; `deadlineAtMs` is on performance.now()'s clock, Infinity for none. */
export type CallArguments = [
  owner: CallOwner,
  id: number,
  slot: number,
  key: string,
  deadlineAtMs: number,
  signal: AbortSignal | undefined,
];

/** A sender whose credit is not used up may send one frame more than it covers; nobody honest gets here. */
const MAX_HELD_BYTES = WINDOW_BYTES + 2 * SINGLE_BYTES;

/** One open call, seen from its caller. */
export abstract class OutgoingCall {
  readonly id: number;
  readonly slot: number;
  /** "service.method", for messages. */
  readonly key: string;
  readonly deadlineAtMs: number;
  readonly signal: AbortSignal | undefined;
  protected readonly owner: CallOwner;
  /** The type of the frames that bring what the call asked for. */
  protected abstract readonly carrier: FrameType;
  #assembly: Assembly | undefined;

  constructor(...[owner, id, slot, key, deadlineAtMs, signal]: CallArguments) {
    this.owner = owner;
    this.id = id;
    this.slot = slot;
    this.key = key;
    this.deadlineAtMs = deadlineAtMs;
    this.signal = signal;
  }

  /** Ends the call from this side, and tells the other. */
  abandon(error: HamletError): void {
    this.owner.cancel(this);
    this.finish(error);
  }

  /** Ends the call: takes it off the table and tells whoever waits. */
  finish(error: HamletError | undefined): void {
    if (!this.owner.remove(this)) return;
    this.#assembly = undefined;
    if (error !== undefined) this.failed(error);
  }

  /** A RESPONSE or ITEM frame. Whole messages go to received(); chunks are gathered until they are one. */
  data(frame: Frame): void {
    if (frame.type !== this.carrier) {
      return this.abandon(new HamletError('INTERNAL', `${this.key}: an answer of the wrong kind`));
    }
    const bytes = HEADER_BYTES + frame.end - frame.start;
    const assembly = this.#assembly;
    if (assembly === undefined && frame.rest === 0) return this.received(frame, bytes);
    if (assembly === undefined) {
      this.#assembly = Assembly.begin(frame);
      if (this.#assembly === undefined) {
        const message = `${this.key}: an answer over ${MAX_MESSAGE_BYTES} bytes`;
        return this.abandon(new HamletError('RESOURCE_EXHAUSTED', message));
      }
    } else if (!assembly.add(frame)) {
      return this.abandon(new HamletError('INTERNAL', `${this.key}: an answer with too many chunks`));
    } else if (frame.rest === 0) {
      this.#assembly = undefined;
      return this.received(assembly, bytes);
    }
    this.owner.credit(this, bytes);
  }

  /** END: there is nothing more to come. */
  abstract ended(): void;
  protected abstract failed(error: HamletError): void;
  /** A whole message; the last `bytes` of it have not been credited yet. */
  protected abstract received(message: Encoded, bytes: number): void;
}

/** A call that waits for one answer. */
export class UnaryCall extends OutgoingCall {
  protected override readonly carrier = FrameType.RESPONSE;
  resolve!: (value: unknown) => void;
  reject!: (error: HamletError) => void;

  override ended(): void {
    this.finish(new HamletError('INTERNAL', `${this.key}: an end instead of an answer`));
  }

  protected override failed(error: HamletError): void {
    this.reject(error);
  }

  protected override received(message: Encoded): void {
    try {
      this.resolve(decode(message));
    } catch (cause) {
      this.reject(new HamletError('INTERNAL', `${this.key}: an answer that cannot be read`, { cause }));
    }
    this.finish(undefined);
  }
}

/** What came in one message: items that are credited together, when the last of them is taken. */
interface Batch {
  readonly items: readonly unknown[];
  next: number;
  readonly bytes: number;
}

type Next = IteratorResult<unknown, undefined>;

/** A stream's caller side: items wait here until they are asked for, and only then is their credit given back. */
export class StreamCall extends OutgoingCall implements AsyncIterator<unknown, undefined> {
  protected override readonly carrier = FrameType.ITEM;
  #current: Batch | undefined;
  #batches: Batch[] = [];
  /** Received and not credited yet: `takenBytes` of them have been taken by the reader. */
  #heldBytes = 0;
  #takenBytes = 0;
  #waiting: Deferred<Next>[] = [];
  #over = false;
  #error: HamletError | undefined;

  next(): Promise<Next> {
    const current = this.#current;
    if (current !== undefined) return Promise.resolve({ done: false, value: this.#take(current) });
    if (this.#over) return this.#end();
    const waiter = deferred<Next>();
    this.#waiting.push(waiter);
    return waiter.promise;
  }

  return(): Promise<Next> {
    if (!this.#over) this.abandon(new HamletError('CANCELLED', `${this.key}: the reader has left`));
    this.#current = undefined;
    this.#batches = [];
    this.#error = undefined;
    return this.#end();
  }

  override ended(): void {
    this.#over = true;
    this.finish(undefined);
    this.#endWaiting();
  }

  protected override failed(error: HamletError): void {
    this.#over = true;
    this.#error = error;
    this.#endWaiting();
  }

  protected override received(message: Encoded, bytes: number): void {
    let items: unknown[];
    try {
      items = decodeAll(message);
    } catch (cause) {
      this.abandon(new HamletError('INTERNAL', `${this.key}: an item that cannot be read`, { cause }));
      return;
    }
    this.#heldBytes += bytes;
    if (this.#heldBytes > MAX_HELD_BYTES) {
      this.abandon(new HamletError('RESOURCE_EXHAUSTED', `${this.key}: the server sends without credit`));
      return;
    }
    if (items.length === 0) return;
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
    this.#takenBytes += batch.bytes;
    if (!this.#over && this.#takenBytes >= WINDOW_BYTES / 4) {
      this.owner.credit(this, this.#takenBytes);
      this.#heldBytes -= this.#takenBytes;
      this.#takenBytes = 0;
    }
    return item;
  }

  /** The error, once; then the end. */
  #end(): Promise<Next> {
    const error = this.#error;
    this.#error = undefined;
    return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
  }

  #endWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) waiter.resolve(this.#end());
  }
}
