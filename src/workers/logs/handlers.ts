import type { Handlers } from '../../ipc/contract.js';
import type { LogLine, logs } from '../../ipc/services/logs.js';
import { Follower } from './follower.js';
import type { LogStore } from './store.js';

/** Bytes of a batch: half of what a stream may have on its way, so that the next one is made meanwhile. */
const maxBatchBytes = 32 * 1024;
/** About what a line takes on the mesh beside its data. */
const lineBytes = 128;

/** How often a follower that finds nothing says how far it has looked. */
const newsMs = 1_000;

/** Answers the calls of the logs service from the rings. */
export function logHandlers(store: LogStore): Handlers<typeof logs> {
  return {
    async *tail({ component, lines }) {
      // Who was told of an end asks for the last lines.
      store.endRuns();
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

    async *follow(request, { signal }) {
      await store.archive?.ready;
      const follower = new Follower(store, request);
      const seek = follower.seek();
      while ((await store.turns.run(() => seek.next())).done !== true) signal.throwIfAborted();
      yield { records: [], positions: follower.news() };
      let saidMs = performance.now();
      while (!signal.aborted) {
        if (follower.isOver(Date.now())) break;
        await follower.lookUp();
        const { records, hasMore } = await store.turns.run(() => follower.read());
        const isDue = performance.now() - saidMs >= newsMs && follower.hasNews;
        if (records.length > 0 || isDue) {
          yield { records, positions: follower.news() };
          saidMs = performance.now();
        } else if (!hasMore) {
          await waitFor(store, follower, request.untilMs, saidMs, signal);
        }
      }
      if (follower.hasNews) yield { records: [], positions: follower.news() };
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

/** Waits for lines, for the time to say how far the follower is, or for the end of the time that was asked for. */
async function waitFor(
  store: LogStore,
  follower: Follower,
  untilMs: number | null,
  saidMs: number,
  signal: AbortSignal,
): Promise<void> {
  const newsInMs = follower.hasNews ? saidMs + newsMs - performance.now() : Infinity;
  const endInMs = untilMs === null ? Infinity : untilMs - Date.now() + 1;
  await store.arrivals.wait(follower.names, Math.max(1, Math.min(newsInMs, endInMs)), signal);
}
