import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import { errnoOf } from '../lib/errors.js';

/** A record of /dev/kmsg is no longer than this (CONSOLE_EXT_LOG_MAX in the kernel's printk). */
const recordBytes = 8_192;

/** How many processes the kernel has killed for want of memory since boot; undefined where it does not count. */
export function oomKills(): number | undefined {
  const count = /^oom_kill (\d+)$/m.exec(readOr('/proc/vmstat'))?.[1];
  return count === undefined ? undefined : Number(count);
}

/**
 * Whether the kernel's log says that it killed this process for want of memory: the machine's, or its cgroup's
 * (__oom_kill_process in mm/oom_kill.c: "Killed process PID (NAME)"). False where the log cannot be read.
 */
export function wasOomKilled(pid: number): boolean {
  const pattern = new RegExp(`Killed process ${pid} \\(`);
  return kernelLog().some((record) => pattern.test(record));
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
