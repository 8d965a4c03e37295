/** The longest time that setTimeout can wait: it takes anything longer for no time at all. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * The moments at which the calls behind their handlers' signals have to be over, on the clock of
 * performance.now(). A handler that passes its signal on to the calls it makes passes its deadline on too.
 */
const deadlines = new WeakMap<AbortSignal, number>();

/** Remembers the deadline of the call that `signal` belongs to. */
export function setDeadline(signal: AbortSignal, atMs: number): void {
  deadlines.set(signal, atMs);
}

/** The deadline of the call that `signal` belongs to, on performance.now()'s clock; Infinity if there is none. */
export function deadlineOf(signal: AbortSignal | undefined): number {
  return signal === undefined ? Infinity : (deadlines.get(signal) ?? Infinity);
}
