/**
 * What says that the machine, or this process's share of it, has nothing left (errno(3)); the last is Node's, for a thread
 * that cannot be made.
 */
const shortages: readonly unknown[] = ['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM', 'ERR_WORKER_INIT_FAILED'];

/** How deep a chain of causes is looked into: one may be a circle. */
const maxCauses = 8;

/**
 * Whether something failed because there were no descriptors, processes or memory left for it. Then it says nothing
 * about whom it was to reach.
 */
export function isShortage(error: unknown): boolean {
  let current = error;
  for (let depth = 0; depth < maxCauses && typeof current === 'object' && current !== null; depth++) {
    if ('code' in current && shortages.includes(current.code)) return true;
    current = 'cause' in current ? current.cause : undefined;
  }
  return false;
}
