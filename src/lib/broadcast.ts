import { HamletError } from './errors.js';

/** How many values a subscriber may lag behind before it is cut off. */
const maxLag = 4_096;

/** One value to many subscribers, each with its own bounded queue. */
export class Broadcast<T> {
  readonly #subscribers = new Set<Subscriber<T>>();

  /** Puts a value into the queue of everyone who subscribed before now. */
  send(value: T): void {
    for (const subscriber of this.#subscribers) subscriber.push(value);
  }

  /**
   * Every value sent from this call on, until the signal is aborted; the iteration then just ends. A subscriber that
   * lags more than 4,096 values behind gets RESOURCE_EXHAUSTED, so that nobody's memory grows without end.
   */
  subscribe(signal: AbortSignal): AsyncIterableIterator<T> {
    const subscriber = new Subscriber<T>(signal, () => this.#subscribers.delete(subscriber));
    if (!signal.aborted) this.#subscribers.add(subscriber);
    return subscriber.values();
  }
}

class Subscriber<T> {
  #queue: T[] = [];
  #overflowed = false;
  #wake: (() => void) | undefined;
  readonly #signal: AbortSignal;
  readonly #leave: () => void;

  constructor(signal: AbortSignal, leave: () => void) {
    this.#signal = signal;
    this.#leave = leave;
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  push(value: T): void {
    if (this.#queue.length >= maxLag) this.#overflowed = true;
    else this.#queue.push(value);
    this.#wake?.();
  }

  async *values(): AsyncGenerator<T, void, undefined> {
    try {
      while (!this.#signal.aborted) {
        const batch = this.#queue;
        this.#queue = [];
        yield* batch;
        if (this.#overflowed)
          throw new HamletError('RESOURCE_EXHAUSTED', `more than ${maxLag} changes behind`);
        if (this.#queue.length === 0 && !this.#isAborted()) await this.#next();
      }
    } finally {
      this.#leave();
      this.#signal.removeEventListener('abort', this.#onAbort);
    }
  }

  readonly #onAbort = (): void => {
    this.#leave();
    this.#wake?.();
  };

  #isAborted(): boolean {
    return this.#signal.aborted;
  }

  #next(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }
}
