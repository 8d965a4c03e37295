import { setFlagsFromString } from 'node:v8';

/**
 * V8's options for the threads. The build compiles for the same ones, because V8 takes compiled code only where it was
 * made with all options alike (scripts/bundle.mjs).
 *
 * The young generations of the threads stay small, in MB for each half; V8's own limit is 16. What a node does leaves
 * little alive, and V8 never gives back what the loading of modules made it take: 2 MB a thread, which a node has six
 * of (docs/adr/one-file-per-thread.md). `resourceLimits` of a worker has the same limit, and no effect on this.
 *
 * V8 throws away the code of functions that have not been called for a while, and what a restart needs is called once in a
 * month: it would have to be compiled while a component waits for its next start.
 *
 * The logs thread matches expressions with the second engine. It sets this too, for when it runs alone.
 */
export const v8Options = [
  '--max-semi-space-size=1',
  '--enable-experimental-regexp-engine',
  '--no-flush-bytecode',
] as const;

/** Sets V8's options for the threads that are started from now on. */
export function setV8Options(): void {
  for (const option of v8Options) setFlagsFromString(option);
}
