import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { uptime } from 'node:os';
import { errnoOf } from '../lib/errors.js';
import { isShortage } from './shortage.js';

/**
 * When a process was started, in clock ticks since boot: field 22 of /proc/PID/stat (proc(5)). Together with the pid
 * it names one process for good. Undefined when there is no such process, or only its zombie.
 */
export function startTicksOf(pid: number): number | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ESRCH') return undefined;
    throw error;
  }
  // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  const ticks = Number(fields[19]);
  return Number.isFinite(ticks) ? ticks : undefined;
}

/** Clock ticks of /proc/PID/stat in a second: USER_HZ, the same on all of Linux' architectures that Hamlet runs on. */
const ticksPerSecond = 100;

/** How long ago something was started that has this start time, in milliseconds. */
export function ageMs(startTicks: number): number {
  return Math.max(0, (uptime() - startTicks / ticksPerSecond) * 1_000);
}

/** Whether the process that was started at `startTicks` under this pid is still alive. */
export function isAlive(pid: number, startTicks: number): boolean {
  try {
    return startTicksOf(pid) === startTicks;
  } catch (error) {
    if (!isShortage(error)) throw error;
    // To ask the kernel by a signal takes no descriptor; a pid does not come again so soon.
    return hasProcess(pid);
  }
}

function hasProcess(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) !== 'ESRCH';
  }
}

/** The programs that processes of this machine are executing now, each by its path. */
export function programsInUse(): Set<string> {
  const programs = new Set<string>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      programs.add(readlinkSync(`/proc/${pid}/exe`));
    } catch {
      // Gone meanwhile, or a thread of the kernel, which has none.
    }
  }
  return programs;
}

/**
 * Sends a signal to a process group, or to one process for a positive pid.
 * Returns false when there is nobody to receive it.
 */
export function sendSignal(target: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(target, signal);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ESRCH') return false;
    throw error;
  }
}
