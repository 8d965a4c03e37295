import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import { errnoOf } from '../lib/errors.js';

/** A record of /dev/kmsg is no longer than this (CONSOLE_EXT_LOG_MAX in the kernel's printk). */
const recordBytes = 8_192;

/** A clock tick of /proc/PID/stat is a hundredth of a second. */
const microsecondsPerTick = 10_000;
/** The log's clock is another one, and may be behind by as much. */
const clockSlackTicks = 100;

/** How many processes the kernel has killed for want of memory since boot; undefined where it does not count. */
export function oomKills(): number | undefined {
  const count = /^oom_kill (\d+)$/m.exec(readOr('/proc/vmstat'))?.[1];
  return count === undefined ? undefined : Number(count);
}

/**
 * Whether the kernel's log says that it killed this process for want of memory: the machine's, or its cgroup's
 * (__oom_kill_process in mm/oom_kill.c: "Killed process PID (NAME)"). `startTicks` is when it was started, in clock ticks
 * since boot: an earlier one with its number may have been killed too. False where the log cannot be read.
 */
export function wasOomKilled(pid: number, startTicks = 0): boolean {
  const pattern = new RegExp(`Killed process ${pid} \\(`);
  return kernelLog().some((record) => pattern.test(record) && ticksOf(record) >= startTicks);
}

/** "6,1234,5098733,-;message": the third is in microseconds since boot (Documentation/ABI/testing/dev-kmsg). */
function ticksOf(record: string): number {
  const ticks = Number(record.split(',', 3)[2]) / microsecondsPerTick;
  return Number.isNaN(ticks) ? Infinity : ticks + clockSlackTicks;
}

/** Each read gives one record, from the oldest one that is held on; EPIPE means that some were overwritten meanwhile. */
function kernelLog(): string[] {
  let fd: number;
  try {
    fd = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return [];
  }
  const records: string[] = [];
  const buffer = Buffer.alloc(recordBytes);
  try {
    for (;;) {
      try {
        const length = readSync(fd, buffer);
        if (length === 0) return records;
        records.push(buffer.toString('latin1', 0, length));
      } catch (error) {
        if (errnoOf(error) !== 'EPIPE') return records;
      }
    }
  } finally {
    closeSync(fd);
  }
}

function readOr(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
