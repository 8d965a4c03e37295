import { setFlagsFromString } from 'node:v8';

/** MB for each half of a thread's young generation; V8's own limit is 16. */
const semiSpaceMb = 1;

/**
 * Keeps the young generations of the threads that are started from now on small. What a node does leaves little alive,
 * and V8 never gives back what the loading of modules made it take: 2 MB a thread, which a node has six of
 * (docs/adr/one-file-per-thread.md). `resourceLimits` of a worker has the same limit, and no effect on this.
 */
export function keepThreadsSmall(): void {
  setFlagsFromString(`--max-semi-space-size=${semiSpaceMb}`);
}
