import { HamletError, isHamletError, messageOf } from '../lib/errors.js';
import { poll } from '../lib/time.js';
import { tellPredecessor } from './successor.js';
import { hangingThreads } from './threads.js';

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

/** What is under way on the disk may take so long, in milliseconds, before it counts as hanging. */
const diskPatienceMs = 5_000;

/**
 * Ends this process with an exit code. process.exit() would wait for its threads and for what is under way on the disk,
 * and where a disk hangs it would do so for good: then this says what it is, and the process kills itself.
 */
export async function endProcess(exitCode: number, patienceMs = diskPatienceMs): Promise<never> {
  const isIdle = () => (isDiskBusy() ? undefined : true);
  const threads = hangingThreads();
  if (threads.length === 0) {
    const what = 'the end of what is under way on the disk';
    const ended = poll(isIdle, { everyMs: 20, timeoutMs: patienceMs, what });
    if (await ended.catch(() => false)) process.exit(exitCode);
  }
  const who = threads.length === 0 ? 'a file operation' : `the thread ${threads.join(', ')}`;
  killProcess(`${who} hangs in a system call, as on a disk that does not answer (see dmesg)`);
}

/** Kills this process, because nothing else can end it, and says why. What it supervises goes on. */
export function killProcess(why: string): never {
  process.stderr.write(`hamlet: ${why}: this process ends with SIGKILL\n`);
  process.kill(process.pid, 'SIGKILL');
  // Never reached: the signal comes before the call returns.
  throw new HamletError('INTERNAL', why);
}

/** Whether a file operation has not come back yet: requests are called so by Node, whichever operation it is. */
const isDiskBusy = (): boolean => process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'));
