import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { HamletError, errnoOf } from '../lib/errors.js';
import { isAlive, startTicksOf } from './process.js';

/** Held until it is disposed of. */
export interface Lock {
  /** Whether its last holder died without letting go. */
  readonly wasLeft: boolean;
  [Symbol.dispose](): void;
}

/**
 * Takes a lock file that names its holder by pid and start time, so that one that was left by a dead process is known
 * as such. Throws FAILED_PRECONDITION, naming the process that holds it; `what` says what that process is doing.
 */
export function takeLock(file: string, what: string): Lock {
  const holder = `${process.pid} ${startTicksOf(process.pid) ?? 0}\n`;
  // Linked into place with its content: a lock that is still empty would look like a dead one's.
  const own = `${file}.${process.pid}`;
  writeFileSync(own, holder, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 2; attempt++) {
      if (link(own, file)) return { wasLeft: attempt > 0, [Symbol.dispose]: () => release(file, holder) };
      const pid = lockHolder(file);
      if (pid !== undefined) {
        throw new HamletError('FAILED_PRECONDITION', `${what} already, as process ${pid} (${file})`);
      }
      rmSync(file, { force: true });
    }
  } finally {
    rmSync(own);
  }
  throw new HamletError('ABORTED', `${file} is being fought over`);
}

/** The process that holds a lock now, if one does. */
export function lockHolder(file: string): number | undefined {
  const [pid = 0, ticks = 0] = read(file).trim().split(' ').map(Number);
  return pid > 0 && isAlive(pid, ticks) ? pid : undefined;
}

/** Gives a file a second name; false when that is taken. */
function link(file: string, name: string): boolean {
  try {
    linkSync(file, name);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** A holder whose folder was taken away must not take away the lock of the next one. */
function release(file: string, holder: string): void {
  if (read(file) === holder) rmSync(file, { force: true });
}

/** What is in the file; nothing when it has just gone. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return '';
    throw error;
  }
}
