import type { RingMemory } from '../lib/ring/memory.js';
import { Ring } from '../lib/ring/ring.js';

/** How much of what a thread wrote last goes into the history: lines, and bytes of each. */
const maxLastLines = 10;
const maxLastLineBytes = 400;

/** The last lines of a run that are in a ring, or their beginnings; without asking the worker that fills it. */
export function lastLinesOf(memory: RingMemory, run: number): string[] {
  const ring = new Ring(memory);
  // Some more than are kept: the next run may have begun to write.
  const block = ring.copy(ring.written - 10 * maxLastLines, ring.written);
  // What the logs worker has given up meanwhile may have been overwritten while it was copied.
  return [...block.lines(ring.first)]
    .filter((line) => line.run === run)
    .slice(-maxLastLines)
    .map(({ data }) => data.toString('utf8', 0, maxLastLineBytes));
}
