import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { HamletError, errnoOf } from '../lib/errors.js';
import { isAlive, startTicksOf } from './process.js';

/** Held until it is disposed of. */
export interface Lock {
  [Symbol.dispose](): void;
}

/**
 * Takes a lock file that names its holder by pid and start time, so that one that was left by a dead process is known
 * as such. Throws FAILED_PRECONDITION, naming the process that holds it; `what` says what that process is doing.
 */
export function takeLock(file: string, what: string): Lock {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      const fd = openSync(file, 'wx', 0o600);
      writeSync(fd, `${process.pid} ${startTicksOf(process.pid) ?? 0}\n`);
      closeSync(fd);
      return { [Symbol.dispose]: () => rmSync(file, { force: true }) };
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
      const [pid = 0, ticks = 0] = readFileSync(file, 'utf8').trim().split(' ').map(Number);
      if (pid > 0 && isAlive(pid, ticks)) {
        throw new HamletError('FAILED_PRECONDITION', `${what} already, as process ${pid} (${file})`);
      }
      rmSync(file, { force: true });
    }
  }
  throw new HamletError('ABORTED', `${file} is being fought over`);
}
