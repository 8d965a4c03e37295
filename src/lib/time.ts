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
 * Throws DEADLINE_EXCEEDED after `timeoutMs`, or the signal's reason.
 */
export async function poll<T>(
  probe: () => T | undefined | Promise<T | undefined>,
  options: PollOptions,
): Promise<T> {
  const deadline = AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
  let cause: unknown;
  for (;;) {
    try {
      const result = await probe();
      if (result !== undefined) return result;
    } catch (error) {
      cause = error;
    }
    try {
      await sleep(options.everyMs, signal);
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new HamletError('DEADLINE_EXCEEDED', `${options.what}: not within ${options.timeoutMs} ms`, {
        cause,
      });
    }
  }
}

/** "850 ms", "5.4 s", "3 min 20 s": a duration for a person. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
