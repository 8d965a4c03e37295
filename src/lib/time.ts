import { setTimeout as delay } from 'node:timers/promises';
import { HamletError } from './errors.js';

/** Waits `ms` milliseconds. Throws the signal's reason when it is aborted first. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

/** Waits for a promise, but no longer than the signal lets it. Throws the signal's reason then; what is under way goes on. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** A limit on a wait; disposed of when the wait is over. */
export interface Deadline extends Disposable {
  /** Aborted with DEADLINE_EXCEEDED when the time is over, or together with the signal that was given. */
  readonly signal: AbortSignal;
}

/**
 * A signal for one wait of at most `ms` milliseconds. Unlike AbortSignal.any() it leaves nothing behind in a parent
 * that lives on: some 80 bytes for each probe would be megabytes a day.
 */
export function deadline(ms: number, parent?: AbortSignal): Deadline {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(parent?.reason);
  const timer = setTimeout(() => {
    controller.abort(new HamletError('DEADLINE_EXCEEDED', `not within ${formatDuration(ms)}`));
  }, ms);
  if (parent?.aborted) onAbort();
  parent?.addEventListener('abort', onAbort, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      parent?.removeEventListener('abort', onAbort);
    },
  };
}

export interface PollOptions {
  readonly everyMs: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** What is waited for, in words; the message of the error says it. */
  readonly what: string;
}

/**
 * Calls `probe` every `everyMs` until it returns something other than undefined, and returns that.
 * A throw counts as "not yet"; the last one becomes the cause.
 * Throws DEADLINE_EXCEEDED after `timeoutMs`, or the signal's reason; the signal that `probe` gets says when.
 */
export async function poll<T>(
  probe: (signal: AbortSignal) => T | undefined | Promise<T | undefined>,
  options: PollOptions,
): Promise<T> {
  options.signal?.throwIfAborted();
  using limit = deadline(options.timeoutMs, options.signal);
  let cause: unknown;
  for (;;) {
    try {
      const result = await probe(limit.signal);
      if (result !== undefined) return result;
    } catch (error) {
      // What the end of the time did to the last try says less than what was wrong before it.
      if (!limit.signal.aborted || cause === undefined) cause = error;
    }
    try {
      await sleep(options.everyMs, limit.signal);
    } catch {
      options.signal?.throwIfAborted();
      throw new HamletError(
        'DEADLINE_EXCEEDED',
        `${options.what}: not within ${formatDuration(options.timeoutMs)}`,
        { cause },
      );
    }
  }
}

/** "850 ms", "5.4 s", "3 min 20 s": a duration for a person. */
export function formatDuration(ms: number): string {
  if (Math.round(ms) < 1_000) return `${Math.round(ms)} ms`;
  if (Math.round(ms / 100) < 600) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
