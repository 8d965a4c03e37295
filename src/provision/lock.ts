import { spawn } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { HamletError } from '../lib/errors.js';

export interface LockOptions {
  readonly signal: AbortSignal;
  /** Called once if somebody else has the lock, with the pid of that process if it is known. */
  readonly onWait?: (holder: number | undefined) => void;
}

/** Exit code of `flock -n` when the lock is taken. */
const takenExitCode = 1;

/**
 * Takes the lock on `file` (made if missing) and holds it until it is disposed of or this process ends, however it
 * ends: the lock belongs to the open file (flock(2)), so the kernel gives it back and a dead holder cannot leave a
 * stale one. The holder's pid in the file is for messages only.
 * Throws the signal's reason when it is aborted while waiting.
 */
export async function acquireLock(file: string, options: LockOptions): Promise<Disposable> {
  mkdirSync(path.dirname(file), { recursive: true });
  const fd = openSync(file, 'a+');
  try {
    if (!(await flock(fd, ['--nonblock'], options.signal))) {
      options.onWait?.(holderOf(file));
      await flock(fd, [], options.signal);
    }
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return { [Symbol.dispose]: () => closeSync(fd) };
}

/**
 * Locks the open file behind `fd` with util-linux' flock(1), since Node has no call for it: the child locks the file
 * through the descriptor that it inherits, and the lock stays when the child is gone.
 */
async function flock(fd: number, flags: readonly string[], signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const child = spawn('flock', ['--exclusive', ...flags, '3'], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
    signal,
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw new HamletError('UNAVAILABLE', 'flock (util-linux) cannot be started', { cause: error });
  });
  if (code === 0) return true;
  if (code === takenExitCode && flags.length > 0) return false;
  throw new HamletError('INTERNAL', `flock ended with exit code ${code ?? 'unknown'}`);
}

function holderOf(file: string): number | undefined {
  const pid = Number.parseInt(readFileSync(file, 'utf8'), 10);
  return Number.isNaN(pid) ? undefined : pid;
}
