import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { scanSegment } from '../../src/lib/segments/segment.js';
import { poll } from '../../src/lib/time.js';
import { LogNode } from '../../test/mesh/fixtures/log-node.js';
import type { Contender } from './contenders.js';

/** A node's default. */
const diskBytes = 256 * 1024 * 1024;

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
  let before = { written: 0, onDisk: 0 };
  return {
    ...contender,
    async settle() {
      const isPacked = (): true | undefined => (segments(dir, '.raw').length <= 1 ? true : undefined);
      await poll(isPacked, { everyMs: 20, timeoutMs: settleMs, what: 'the end of packing' });
    },
    async keptPart() {
      const { rings } = await node.logs.stats({});
      const now = { written: rings[0]?.written ?? 0, onDisk: linesIn(dir) };
      const part = (now.onDisk - before.onDisk) / (now.written - before.written);
      before = now;
      return part;
    },
  };
}

const segments = (dir: string, ending: string): string[] =>
  readdirSync(dir)
    .filter((name) => name.endsWith(ending))
    .map((name) => path.join(dir, name));

function linesIn(dir: string): number {
  const entries = segments(dir, '').flatMap((file) => scanSegment(readFileSync(file)).entries);
  return entries.reduce((sum, { from, to }) => sum + to - from, 0);
}
