import { HamletError, messageOf } from '../lib/errors.js';
import { sleep } from '../lib/time.js';
import { isAlive, sendSignal } from '../platform/process.js';

/** A process that leads a group of its own; the start time tells it from another one with its number. */
export interface Leader {
  readonly name: string;
  readonly pid: number;
  readonly startTicks: number;
}

const endPollMs = 25;

/** As sendSignal(); SIGTERM is followed by SIGCONT, without which a stopped process would not notice it. */
export function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
  const received = sendSignal(-pid, signal);
  if (signal === 'SIGTERM') sendSignal(-pid, 'SIGCONT');
  return received;
}

/**
 * Ends a process group: SIGTERM, and SIGKILL for what is still there when the leader has ended or its patience is
 * over. Gives whether SIGTERM was enough for the leader.
 * Throws INTERNAL, naming it, when it is there even then; the signal's reason when it is aborted first.
 */
export async function endGroup(
  { name, pid, startTicks }: Leader,
  patienceMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const hasEnded = async (): Promise<boolean> => {
    const deadlineMs = performance.now() + patienceMs;
    while (isAlive(pid, startTicks)) {
      if (performance.now() >= deadlineMs) return false;
      await sleep(endPollMs, signal);
    }
    return true;
  };
  signalGroup(pid, 'SIGTERM');
  const heeded = await hasEnded();
  // What it started and did not end goes in any case.
  sendSignal(-pid, 'SIGKILL');
  if (heeded || (await hasEnded())) return heeded;
  throw new HamletError('INTERNAL', `${name} (process ${pid}) is there even after SIGKILL`);
}

/** How long a process may take to vanish after SIGKILL, in milliseconds. */
const killPatienceMs = 10_000;

/**
 * Kills one process, which need not lead a group. Throws INTERNAL, naming it, when it is there even then; the signal's
 * reason when it is aborted first.
 */
export async function killProcess({ name, pid, startTicks }: Leader, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + killPatienceMs;
  if (isAlive(pid, startTicks)) sendSignal(pid, 'SIGKILL');
  while (isAlive(pid, startTicks)) {
    if (performance.now() >= deadlineMs) {
      throw new HamletError('INTERNAL', `a process of ${name} (${pid}) is there even after SIGKILL`);
    }
    await sleep(endPollMs, signal);
  }
}

/**
 * Ends all of them at once, each with the patience that its name gets. Throws as endGroup() does, for all that could not
 * be ended.
 */
export async function endGroups(
  leaders: readonly Leader[],
  patienceMs: (name: string) => number,
  signal: AbortSignal,
): Promise<void> {
  const ends = leaders.map((leader) => endGroup(leader, patienceMs(leader.name), signal));
  throwFailures(await Promise.allSettled(ends));
}

/** Throws what the rejected ones were rejected with, if there are any. */
export function throwFailures(results: readonly PromiseSettledResult<unknown>[]): void {
  const reasons = results.flatMap((result): unknown[] =>
    result.status === 'rejected' ? [result.reason] : [],
  );
  if (reasons.length === 1) throw reasons[0];
  if (reasons.length > 1) throw new HamletError('INTERNAL', reasons.map(messageOf).join('; '));
}
