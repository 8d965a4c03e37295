import { isHamletError, messageOf } from '../lib/errors.js';
import { tellPredecessor } from './successor.js';

/** What init and scripts go by; `handover` is only seen by the process that started this one to take its place. */
export const exitCodes = { ok: 0, failure: 1, usage: 2, handover: 75 } as const;

/**
 * Says on stderr what ended the process, and gives its exit code: what a person can put right in one line, anything
 * else with its stack. A stop that was asked for is no failure.
 */
export function fail(error: unknown, stopped: AbortSignal): number {
  if (stopped.aborted && (error === stopped.reason || isHamletError(error, 'CANCELLED'))) return exitCodes.ok;
  const expected = isHamletError(error) && error.code !== 'INTERNAL';
  const lines = [`hamlet: ${messageOf(error)}`];
  if (!expected && error instanceof Error) lines.push(...(error.stack ?? '').split('\n'));
  process.stderr.write(`${lines.join('\n')}\n`);
  tellPredecessor({ kind: 'failed', lines });
  return isHamletError(error, 'INVALID_ARGUMENT') ? exitCodes.usage : exitCodes.failure;
}
