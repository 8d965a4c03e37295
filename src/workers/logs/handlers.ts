import type { Handlers } from '../../ipc/contract.js';
import type { LogLine, logs } from '../../ipc/services/logs.js';
import type { LogStore } from './store.js';

/** Bytes of a batch: half of what a stream may have on its way, so that the next one is made meanwhile. */
const maxBatchBytes = 32 * 1024;
/** About what a line takes on the mesh beside its data. */
const lineBytes = 128;

/** Answers the calls of the logs service from the rings. */
export function logHandlers(store: LogStore): Handlers<typeof logs> {
  return {
    async *tail({ component, lines }) {
      const ring = store.ring(component);
      const { first, written } = ring;
      // Copied at once: a loud component could overwrite the rest while the first lines are on their way.
      const block = ring.copy(lines === 0 ? first : Math.max(first, written - lines), written);
      let batch: LogLine[] = [];
      let bytes = 0;
      for (const { sequence, atMs, run, source, data } of block) {
        if (bytes + data.length + lineBytes > maxBatchBytes && batch.length > 0) {
          yield { lines: batch };
          batch = [];
          bytes = 0;
        }
        batch.push({ component, sequence, atMs, run, source, data });
        bytes += data.length + lineBytes;
      }
      if (batch.length > 0) yield { lines: batch };
    },

    stats: () => ({
      rings: [...store.rings].map(([component, ring]) => ({
        component,
        lines: ring.written - ring.first,
        written: ring.count,
        bytes: ring.claimedBytes,
      })),
    }),
  };
}
