/** The first wait after a failure that did not follow a healthy spell; it doubles from there. */
export const backoffBaseMs = 250;
export const backoffMaxMs = 30_000;
/** Only so long a time spent healthy earns a fresh start: a binary that answers once and dies again does not. */
export const healthyResetMs = 60_000;
/** A wait is made shorter by up to this share, so that what failed together does not try again together. */
const jitterShare = 0.2;

/**
 * How long to wait before the next try, in milliseconds. `failures` counts the failures since the last healthy spell,
 * this one included: the first one after such a spell is tried again at once.
 */
export function backoffMs(failures: number, afterHealthySpell: boolean, random: () => number): number {
  if (afterHealthySpell) return 0;
  const full = Math.min(backoffMaxMs, backoffBaseMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(full * (1 - jitterShare * random()));
}
