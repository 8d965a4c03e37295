import { HamletError } from './errors.js';

/** How many values a subscriber may lag behind before it is cut off. */
export const maxLag = 4_096;

/** One value to many subscribers, each with its own bounded queue. */
export class Broadcast<T> {
  readonly #subscriptions = new Set<Subscription<T>>();

  /** Puts a value into the queue of everyone who subscribed before now. */
  send(value: T): void {
    for (const subscription of this.#subscriptions) subscription.push(value);
  }

  /**
   * Every value sent from this call on, until the signal is aborted; the iteration then just ends. A subscriber that
   * lags more than 4,096 values behind gets RESOURCE_EXHAUSTED after those, so that nobody's memory grows without end.
   * Whoever may not iterate to the end disposes of it.
   */
  subscribe(signal: AbortSignal): Subscription<T> {
    const subscription = new Subscription<T>(signal, () => this.#subscriptions.delete(subscription));
    if (!signal.aborted) this.#subscriptions.add(subscription);
    return subscription;
  }
}

/** What one subscriber gets. A generator would not do: one that is given up before its first value never ends. */
export class Subscription<T> implements AsyncIterableIterator<T, undefined>, Disposable {
  #state: 'open' | 'cut-off' | 'ended' = 'open';
  #queue: T[] = [];
  /** Who asked for values that are not there yet; nobody unless the queue is empty. */
  #waiting: ((result: IteratorResult<T, undefined>) => void)[] = [];
  readonly #signal: AbortSignal;
  readonly #leave: () => void;

  constructor(signal: AbortSignal, leave: () => void) {
    this.#signal = signal;
    this.#leave = leave;
    if (signal.aborted) this.#state = 'ended';
    else signal.addEventListener('abort', this.#end, { once: true });
  }

  push(value: T): void {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) return waiting({ done: false, value });
    if (this.#queue.length < maxLag) {
      this.#queue.push(value);
      return;
    }
    this.#state = 'cut-off';
    this.#leave();
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    if (this.#queue.length > 0) return { done: false, value: this.#queue.shift() as T };
    switch (this.#state) {
      case 'open':
        return new Promise((resolve) => this.#waiting.push(resolve));
      case 'cut-off':
        this.#state = 'ended';
        throw new HamletError('RESOURCE_EXHAUSTED', `more than ${maxLag} changes behind`);
      case 'ended':
        return { done: true, value: undefined };
      default:
        return this.#state satisfies never;
    }
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#end();
    return { done: true, value: undefined };
  }

  [Symbol.dispose](): void {
    this.#end();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  readonly #end = (): void => {
    this.#state = 'ended';
    this.#queue = [];
    for (const waiting of this.#waiting.splice(0)) waiting({ done: true, value: undefined });
    this.#leave();
    this.#signal.removeEventListener('abort', this.#end);
  };
}
