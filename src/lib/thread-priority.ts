import { getPriority, setPriority } from 'node:os';

/** The range of nice(2), of which the highest is the least. */
export type Nice = number;

/**
 * Has the calling thread run with this priority, so that others of the process and of the machine go first. Gives what
 * puts back the one that it had, to be called by the same thread. Where that is not permitted, as it is only to root, or not possible, the thread goes on
 * as it is.
 */
export function lowerThreadPriority(nice: Nice): () => void {
  try {
    // To Linux a priority is a thread's, and these are the calling one's (setpriority(2), "C library/kernel differences").
    const before = getPriority();
    if (before >= nice) return () => undefined;
    setPriority(nice);
    return () => trySetPriority(before);
  } catch {
    return () => undefined;
  }
}

function trySetPriority(nice: Nice): void {
  try {
    setPriority(nice);
  } catch {
    // It works all the same.
  }
}
