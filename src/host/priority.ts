import { access } from 'node:fs/promises';
import { getPriority, setPriority } from 'node:os';
import type { Nice } from '../lib/thread-priority.js';

/** So much further than what the process was started with: setpriority(2). */
const raisedBy = 15;
const highest: Nice = -20;

/** The two priorities of the main thread, while it has the higher one. */
let raised: { readonly usual: Nice; readonly now: Nice } | undefined;

/**
 * Has the main thread, and the threads that are started from now on, go before all else on the machine: who wants to know
 * what a node is busy with must not wait for what it is busy with. libuv's pool, which writes the logs, stays as it is.
 * What is executed must not inherit it, nor a thread that has much to do: `atUsualPriority`.
 *
 * Gives what puts the main thread back. Where it is not permitted (it takes CAP_SYS_NICE) everything stays as it is.
 */
export async function raisePriority(): Promise<() => void> {
  // The pool's threads are started by the first one who needs them, all at once, with the priority of that one.
  await access('/');
  const usual = getPriority();
  const now = Math.max(usual - raisedBy, highest);
  try {
    setPriority(now);
  } catch {
    return () => undefined;
  }
  raised = { usual, now };
  return () => {
    raised = undefined;
    setPriority(usual);
  };
}

/**
 * Calls what executes a program or starts a thread. A process gets the priority of the thread that forks it, and so does
 * each of its threads; to lower it afterwards would come too late for some.
 */
export function atUsualPriority<T>(start: () => T): T {
  if (raised === undefined) return start();
  setPriority(raised.usual);
  try {
    return start();
  } finally {
    setPriority(raised.now);
  }
}
