/** The first wait after a failure that did not follow a healthy spell; it doubles from there. */
export const backoffBaseMs = 250;
export const backoffMaxMs = 30_000;
/** Only so long a time spent healthy earns a fresh start: a binary that answers once and dies again does not. */
export const healthyResetMs = 60_000;
/** A wait is made shorter by up to this share, so that what failed together does not try again together. */
export const jitterShare = 0.2;

/**
 * How long to wait before the next try, in milliseconds. `failures` counts those since the last healthy spell: none
 * means that this is the first one after such a spell, which is tried again at once. `random` gives 0 up to 1.
 */
export function backoffMs(failures: number, random: () => number): number {
  if (failures === 0) return 0;
  const full = Math.min(backoffMaxMs, backoffBaseMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(full * (1 - jitterShare * random()));
}
