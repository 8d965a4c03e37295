/** What one caller may take; what is beyond it is refused and costs next to nothing. */
export const limits = {
  /** Calls in a burst, and calls a second after it. */
  burst: 100,
  callsPerSecond: 20,
  /** The longest request is an identity with 64 groups. */
  maxRequestBytes: 128 * 1024,
  /** A call ends after this time, whatever its caller allows. */
  maxCallMs: 30_000,
  /** A call without streams is cut off after this time, its request, its answer and the reading of it together. */
  maxUnaryMs: 60_000,
  /** Open connections of one listener, and of one caller among them. */
  maxConnections: 256,
  maxConnectionsOfCaller: 64,
  /**
   * Connections that a caller begins, in a burst and a second after it. A TLS handshake takes this thread three to four
   * milliseconds, so a flood of them would take all of its time. Higher than the rate of calls: one for each is fine.
   */
  connectionBurst: 256,
  connectionsPerSecond: 32,
  /** Whoever has said nothing by then is cut off. */
  maxSilenceMs: 5_000,
  /** A TLS handshake that goes on for longer is broken off. */
  maxHandshakeMs: 10_000,
  /** A connection without a call is closed after this time. */
  maxIdleMs: 30_000,
  /** A connection is asked so often for a sign of life, and closed when none comes in time. */
  keepaliveMs: 10_000,
  maxPongMs: 10_000,
  maxConcurrentCalls: 32,
  /** Open calls of one caller over all connections; and those whose answer may be a whole log of 16 MiB. */
  maxCallsOfCaller: 128,
  maxLogsOfCaller: 4,
} as const;

/** How often refusals of one kind that go on are summed up in the log, in milliseconds. */
const summaryMs = 60_000;

/** How many kinds of refusals are told apart, and how many lines they come to in that time: there are many addresses. */
const maxKinds = 1_024;
const maxLines = 100;

export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

/** So many buckets may lie about before it is looked which of them are full. */
const maxBuckets = 256;
const forgetEveryMs = 1_000;

/** A bucket for each caller, filled at a steady rate. */
export class Budget {
  readonly #rate: Rate;
  readonly #now: () => number;
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();
  #forgotAtMs = -Infinity;

  /** `now` is a monotonic clock in milliseconds. */
  constructor(rate: Rate, now: () => number) {
    this.#rate = rate;
    this.#now = now;
  }

  /** Takes one token out of the caller's bucket; false when it is empty. */
  take(caller: string): boolean {
    const { burst, perSecond } = this.#rate;
    const nowMs = this.#now();
    this.#forget(nowMs);
    const bucket = this.#buckets.get(caller) ?? { tokens: burst, atMs: nowMs };
    const tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) / 1_000) * perSecond);
    this.#buckets.set(caller, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs });
    return tokens >= 1;
  }

  /** Buckets that have been full for a while are as good as none. Not at each call: addresses can be many. */
  #forget(nowMs: number): void {
    if (this.#buckets.size < maxBuckets || nowMs - this.#forgotAtMs < forgetEveryMs) return;
    this.#forgotAtMs = nowMs;
    const { burst, perSecond } = this.#rate;
    for (const [caller, { atMs }] of this.#buckets) {
      if (nowMs - atMs > (burst / perSecond) * 1_000) this.#buckets.delete(caller);
    }
  }
}

/** Calls of each caller. */
export function callBudget(now: () => number): Budget {
  return new Budget({ burst: limits.burst, perSecond: limits.callsPerSecond }, now);
}

/** Connections that each caller begins. */
export function connectionBudget(now: () => number): Budget {
  return new Budget({ burst: limits.connectionBurst, perSecond: limits.connectionsPerSecond }, now);
}

export interface RefusalLog {
  warn(fields: object, message: string): void;
}

/**
 * Logs each kind of refusal when it first happens, and then at most once a minute how often it has. When there are too
 * many kinds, they are counted together.
 */
export class Refusals {
  readonly #log: RefusalLog;
  readonly #now: () => number;
  readonly #kinds = new Map<string, { atMs: number; more: number }>();
  #window = { atMs: -Infinity, lines: 0, unsaid: 0 };

  constructor(log: RefusalLog, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /** `kind` has the caller in it but nothing that a caller could vary at will. */
  note(kind: string, message: string): void {
    const nowMs = this.#now();
    const known = this.#kinds.get(kind);
    if (known !== undefined && nowMs - known.atMs < summaryMs) {
      known.more++;
      return;
    }
    if (!this.#hasLine(nowMs)) return;
    const oldest = this.#kinds.size >= maxKinds ? this.#kinds.keys().next().value : undefined;
    if (oldest !== undefined) this.#kinds.delete(oldest);
    // Again at the end: the first one is the oldest.
    this.#kinds.delete(kind);
    this.#kinds.set(kind, { atMs: nowMs, more: 0 });
    const more = known?.more ?? 0;
    this.#log.warn(
      { refused: kind, more },
      more === 0 ? message : `${message}; ${more} times more since the last line`,
    );
  }

  #hasLine(nowMs: number): boolean {
    if (nowMs - this.#window.atMs >= summaryMs) {
      const { unsaid } = this.#window;
      this.#window = { atMs: nowMs, lines: 0, unsaid: 0 };
      if (unsaid > 0) this.#log.warn({ unsaid }, `${unsaid} refusals of many kinds were not logged`);
    }
    if (this.#window.lines >= maxLines) {
      this.#window.unsaid++;
      return false;
    }
    this.#window.lines++;
    return true;
  }
}
