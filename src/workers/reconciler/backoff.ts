export interface BackoffLimits {
  /** How many tries in a row go without a delay. */
  readonly free: number;
  /** The first delay, which then doubles up to the maximum; milliseconds. */
  readonly firstMs: number;
  readonly maxMs: number;
  /** After so long without a try the count starts anew; milliseconds. */
  readonly quietMs: number;
}

/** The time that Backoff goes by, and its dice. */
export interface Clock {
  /** Monotonic milliseconds. */
  now(): number;
  /** From 0 to 1. */
  random(): number;
}

export const realClock: Clock = { now: () => performance.now(), random: () => Math.random() };

/** Delays for something that is tried again and again: none at first, then doubling, with jitter. */
export class Backoff {
  readonly #limits: BackoffLimits;
  readonly #clock: Clock;
  #tries = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;

  constructor(limits: BackoffLimits, clock: Clock = realClock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Counts a try and says how long to wait before it, in milliseconds. */
  next(): number {
    const { free, firstMs, maxMs, quietMs } = this.#limits;
    const now = this.#clock.now();
    if (now - this.#notBeforeMs >= quietMs) this.#tries = 0;
    this.#tries += 1;
    const step = this.#tries - free - 1;
    // Half of each delay is chance, so that two that fight do not fall into step.
    const delayMs = step < 0 ? 0 : Math.min(maxMs, firstMs * 2 ** step) * (0.5 + this.#clock.random() / 2);
    this.#notBeforeMs = now + delayMs;
    return delayMs;
  }

  /** Whether there was no try for long enough that the next one counts as the first. */
  get isQuiet(): boolean {
    return this.#clock.now() - this.#notBeforeMs >= this.#limits.quietMs;
  }
}
