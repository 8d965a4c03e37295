import { sleep } from '../lib/time.js';
import type { Connection } from './connection.js';
import type { CallOptions, Client, Method, Service } from './contract.js';
import { isRetryable } from './errors.js';
import { DEFAULT_DEADLINE_MS, givenUp, type Target } from './outgoing.js';
import type { StreamCall } from './outgoing-call.js';

/** An idempotent call whose worker is away is sent again after this time, which then doubles up to the maximum. */
const RETRY_MS = { first: 5, max: 200 } as const;

const NEVER = new AbortController().signal;

/**
 * The caller's side of a service. Every call ends with a result or a HamletError; streams start when they are
 * iterated, and each iteration is a call of its own.
 * A call to a worker that is not there, or dies, is UNAVAILABLE at once. If its method is idempotent it is sent
 * again until its deadline: a unary call always, a stream as long as it has not brought an item.
 */
export function client<S extends Service>(connection: Connection, contract: S): Client<S> {
  const callers: Record<string, (request: unknown, options?: CallOptions) => unknown> = {};
  for (const [name, method] of Object.entries(contract.methods)) {
    const target: Target = { service: contract.name, key: `${contract.name}.${name}` };
    const make = method.kind === 'unary' ? unaryCaller : streamCaller;
    callers[name] = make(connection, target, method);
  }
  return callers as Client<S>;
}

function unaryCaller({ outgoing }: Connection, target: Target, method: Method) {
  const defaultMs = method.deadlineMs ?? DEFAULT_DEADLINE_MS;
  return (request: unknown, options?: CallOptions): Promise<unknown> => {
    const deadlineMs = options?.deadlineMs ?? defaultMs;
    const signal = options?.signal;
    if (method.idempotent !== true) return outgoing.unary(target, request, deadlineMs, signal);
    return retrying(target, { deadlineMs, signal }, (ms) => outgoing.unary(target, request, ms, signal));
  };
}

function streamCaller({ outgoing }: Connection, target: Target, method: Method) {
  const defaultMs = method.deadlineMs ?? Infinity;
  return (request: unknown, options?: CallOptions): AsyncIterable<unknown> => ({
    [Symbol.asyncIterator]: () => {
      const limits = { deadlineMs: options?.deadlineMs ?? defaultMs, signal: options?.signal };
      const open = (ms: number) => outgoing.stream(target, request, ms, limits.signal);
      return new LazyStream(target, limits, open, method.idempotent === true);
    },
  });
}

interface CallLimits {
  /** Infinity for none. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
}

/** A stream that makes its call when the first item is asked for, so that one never used costs nothing. */
class LazyStream implements AsyncIterator<unknown, undefined> {
  readonly #target: Target;
  readonly #limits: CallLimits;
  readonly #open: (deadlineMs: number) => StreamCall;
  readonly #idempotent: boolean;
  #call: StreamCall | undefined;
  #left = false;

  constructor(
    target: Target,
    limits: CallLimits,
    open: (deadlineMs: number) => StreamCall,
    idempotent: boolean,
  ) {
    this.#target = target;
    this.#limits = limits;
    this.#open = open;
    this.#idempotent = idempotent;
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    return this.#call?.next() ?? this.#first();
  }

  async return(): Promise<IteratorResult<unknown, undefined>> {
    this.#left = true;
    return this.#call?.return() ?? { done: true, value: undefined };
  }

  async #first(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#left) return { done: true, value: undefined };
    const attempt = (deadlineMs: number) => {
      this.#call = this.#open(deadlineMs);
      return this.#call.next();
    };
    if (!this.#idempotent) return attempt(this.#limits.deadlineMs);
    return retrying(this.#target, this.#limits, attempt, DEFAULT_DEADLINE_MS);
  }
}

/** Calls `attempt` again for as long as the mesh says UNAVAILABLE and there is time, but not for more than `maxMs`. */
async function retrying<T>(
  { key }: Target,
  { deadlineMs, signal }: CallLimits,
  attempt: (deadlineMs: number) => Promise<T>,
  maxMs = Infinity,
): Promise<T> {
  const startMs = performance.now();
  const giveUpMs = startMs + Math.min(deadlineMs, maxMs);
  for (let delayMs: number = RETRY_MS.first; ; delayMs = Math.min(delayMs * 2, RETRY_MS.max)) {
    let failure: unknown;
    try {
      return await attempt(startMs + deadlineMs - performance.now());
    } catch (error) {
      if (!isRetryable(error)) throw error;
      failure = error;
    }
    if (performance.now() + delayMs >= giveUpMs) throw failure;
    await sleep(delayMs, signal ?? NEVER).catch(() => {
      throw givenUp(key, signal ?? NEVER);
    });
    // It may have slept for longer. What kept the call from being answered says more than that its time is over.
    if (performance.now() >= giveUpMs) throw failure;
  }
}

/**
 * Reads a stream across the deaths of its server. `open` makes the call, given the last item that was read, or
 * undefined at first: its contract must have a position to go on from. Ends when a stream ends.
 * Throws what the stream throws, except that the mesh could not reach the server.
 */
export async function* resume<Item>(
  open: (last: Item | undefined) => AsyncIterable<Item>,
  signal: AbortSignal,
): AsyncGenerator<Item, void, undefined> {
  let last: Item | undefined;
  for (let delayMs: number = RETRY_MS.first; ; delayMs = Math.min(delayMs * 2, RETRY_MS.max)) {
    try {
      for await (const item of open(last)) {
        delayMs = RETRY_MS.first;
        last = item;
        yield item;
      }
      return;
    } catch (error) {
      if (!isRetryable(error)) throw error;
    }
    await sleep(delayMs, signal);
  }
}
