import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { sequencesPerStart, startOf } from '../../src/lib/ring/memory.js';
import { scanSegment, type Entry } from '../../src/lib/segments/segment.js';
import { poll } from '../../src/lib/time.js';
import { LogNode } from '../../test/mesh/fixtures/log-node.js';
import type { Contender } from './contenders.js';

/** A node's default. */
export const diskBytes = 256 * 1024 * 1024;

/** Longer than it takes to pack what waits to be packed. */
const settleMs = 60_000;

/** Hamlet's logs worker with one log, in memory alone or on disk as well. */
export async function openHamlet(name: string, isOnDisk: boolean): Promise<Contender> {
  const node = await LogNode.start({ components: ['etcd'], ...(isOnDisk && { diskBytes }) });
  const contender: Contender = {
    name,
    pipe: path.join(node.folder, 'pipes', 'etcd.stderr'),
    // This process has the logs worker in it and, while a writer is measured, nothing else to do.
    cpuSeconds: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
    close: () => node[Symbol.asyncDispose](),
  };
  if (!isOnDisk) return contender;
  const dir = path.join(node.folder, 'logs', 'etcd');
  const written = async (): Promise<number> => (await node.logs.stats({})).rings[0]?.written ?? 0;
  let begin = await written();
  return {
    ...contender,
    async settle() {
      const isPacked = (): true | undefined => (segments(dir, '.raw').length <= 1 ? true : undefined);
      await poll(isPacked, { everyMs: 20, timeoutMs: settleMs, what: 'the end of packing' });
    },
    async keptPart() {
      const end = await written();
      const part = linesIn(dir, begin) / (end - begin);
      begin = end;
      return part;
    },
  };
}

const segments = (dir: string, ending: string): string[] =>
  readdirSync(dir)
    .filter((name) => name.endsWith(ending))
    .map((name) => path.join(dir, name));

const entriesIn = (dir: string): Entry[] =>
  segments(dir, '').flatMap((file) => scanSegment(readFileSync(file)).entries);

/** How many lines are on disk, of those from the `begin`-th of this start on. */
function linesIn(dir: string, begin: number): number {
  return entriesIn(dir).reduce((sum, { from, to }) => {
    const first = Math.max(from, startOf(from) * sequencesPerStart + begin);
    return sum + Math.max(0, to - first);
  }, 0);
}
