import { errnoOf } from '../lib/errors.js';

/** What says that the machine, or this process's share of it, has nothing left (errno(3)). */
const shortages: readonly (string | undefined)[] = ['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM'];

/** How deep a chain of causes is looked into: one may be a circle. */
const maxCauses = 8;

/**
 * Whether something failed because there were no descriptors, processes or memory left for it. Then it says nothing
 * about whom it was to reach.
 */
export function isShortage(error: unknown): boolean {
  let current = error;
  for (let depth = 0; depth < maxCauses && current instanceof Error; depth++) {
    if (shortages.includes(errnoOf(current))) return true;
    current = current.cause;
  }
  return false;
}
