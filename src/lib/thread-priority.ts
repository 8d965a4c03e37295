import { readlinkSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import path from 'node:path';

/** The range of nice(2), of which the highest is the least. */
export type Nice = number;

/**
 * Has the calling thread run with this priority, so that others of the process and of the machine go first. Gives what
 * puts back the one that it had. Where that is not permitted, as it is only to root, or not possible, the thread goes on
 * as it is.
 */
export function lowerThreadPriority(nice: Nice): () => void {
  try {
    // To Linux a thread is a process with a number of its own (setpriority(2), "C library/kernel differences").
    const id = Number(path.basename(readlinkSync('/proc/thread-self')));
    const before = getPriority(id);
    if (before >= nice) return () => undefined;
    setPriority(id, nice);
    return () => trySetPriority(id, before);
  } catch {
    return () => undefined;
  }
}

function trySetPriority(id: number, nice: Nice): void {
  try {
    setPriority(id, nice);
  } catch {
    // It works all the same.
  }
}
