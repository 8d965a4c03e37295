import { HamletError } from '../lib/errors.js';
import { sleep } from '../lib/time.js';
import type { Connection } from './connection.js';
import type { CallOptions, Client, Method, Service } from './contract.js';
import { isRetryable } from './errors.js';
import { type CallLimits, DEFAULT_DEADLINE_MS, type Target } from './outgoing.js';
import type { StreamCall } from './outgoing-call.js';

/** An idempotent call whose worker is away is sent again after this time, which then doubles up to the maximum. */
const RETRY_MS = { first: 5, max: 200 } as const;

/**
 * The caller's side of a service. Every call ends with a result or a HamletError; streams start when they are
 * iterated, and each iteration is a call of its own.
 */
export function client<S extends Service>(connection: Connection, contract: S): Client<S> {
  const callers: Record<string, (request: unknown, options?: CallOptions) => unknown> = {};
  for (const [name, method] of Object.entries(contract.methods)) {
    const target: Target = { service: contract.name, key: `${contract.name}.${name}` };
    callers[name] =
      method.kind === 'unary'
        ? unaryCaller(connection, target, method)
        : streamCaller(connection, target, method);
  }
  return callers as Client<S>;
}

function unaryCaller(connection: Connection, target: Target, method: Method) {
  const defaultMs = method.deadlineMs ?? DEFAULT_DEADLINE_MS;
  const call = (request: unknown, limits: CallLimits) => connection.outgoing.unary(target, request, limits);
  return (request: unknown, options?: CallOptions): Promise<unknown> => {
    const limits = { deadlineMs: options?.deadlineMs ?? defaultMs, signal: options?.signal };
    return method.idempotent === true ? retrying(call, request, limits) : call(request, limits);
  };
}

/** Sends the request again for as long as the mesh says UNAVAILABLE and there is time. */
async function retrying(
  call: (request: unknown, limits: CallLimits) => Promise<unknown>,
  request: unknown,
  limits: CallLimits,
): Promise<unknown> {
  const { deadlineMs, signal } = limits;
  const endMs = performance.now() + deadlineMs;
  let delayMs: number = RETRY_MS.first;
  for (;;) {
    try {
      return await call(request, { deadlineMs: endMs - performance.now(), signal });
    } catch (error) {
      if (!isRetryable(error) || performance.now() + delayMs >= endMs) throw error;
    }
    try {
      await sleep(delayMs, signal ?? NEVER);
    } catch (cause) {
      throw new HamletError('CANCELLED', 'given up by the caller', { cause });
    }
    delayMs = Math.min(delayMs * 2, RETRY_MS.max);
  }
}

const NEVER = new AbortController().signal;

function streamCaller(connection: Connection, target: Target, method: Method) {
  const defaultMs = method.deadlineMs ?? Infinity;
  return (request: unknown, options?: CallOptions): AsyncIterable<unknown> => ({
    [Symbol.asyncIterator]: () =>
      startOnNext(() =>
        connection.outgoing.stream(target, request, {
          deadlineMs: options?.deadlineMs ?? defaultMs,
          signal: options?.signal,
        }),
      ),
  });
}

/** An iterator that makes its call when the first item is asked for, so that one never used costs nothing. */
function startOnNext(start: () => StreamCall): AsyncIterator<unknown, undefined> {
  let call: StreamCall | undefined;
  let left = false;
  return {
    next: async () => {
      if (left) return { done: true, value: undefined };
      call ??= start();
      return call.next();
    },
    return: async () => {
      left = true;
      return call === undefined ? { done: true, value: undefined } : call.return();
    },
  };
}
