import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { poll } from '../../../src/lib/time.js';
import { BlockPool } from '../../../src/workers/logs/block-pool.js';
import { segmentFiles, type SegmentFiles } from '../../../src/workers/logs/segment-files.js';
import { SegmentLog } from '../../../src/workers/logs/segment-log.js';
import { Source } from './source.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** A disk that hangs at every write, until that is made to fail. */
class HangingDisk {
  #fail: ((error: Error) => void) | undefined;

  readonly files: SegmentFiles = {
    ...segmentFiles,
    open: async (file) => {
      const { truncate, sync, close } = await segmentFiles.open(file).then((handle) => ({
        truncate: (bytes: number) => handle.truncate(bytes),
        sync: () => handle.sync(),
        close: () => handle.close(),
      }));
      return { write: () => new Promise((_, reject) => (this.#fail = reject)), truncate, sync, close };
    },
  };

  get hangs(): boolean {
    return this.#fail !== undefined;
  }

  fail(): void {
    this.#fail?.(new Error('the disk is gone'));
    this.#fail = undefined;
  }
}

void t.test('lines that wait for a disk that hangs have a bound, however short they are', async (t) => {
  const disk = new HangingDisk();
  const source = new Source();
  const pool = new BlockPool();
  const dir = t.testdir();
  const log = new SegmentLog({ ring: source.ring, pool, dir, files: disk.files, segmentBytes: 2 ** 22 });
  await log.open();
  collect();
  const { arrayBuffers } = process.memoryUsage();
  for (let round = 1; round <= 6; round += 1) {
    source.write('\n');
    const write = log.write();
    while (!disk.hangs) await new Promise(setImmediate);
    for (let i = 0; i < 3_000; i += 1) {
      source.write('\n'.repeat(512));
      log.take();
    }
    // Memory is given back beside this thread, a moment after it was collected; what waits is not, however often.
    let grownMb = Infinity;
    const isBounded = () => {
      collect();
      grownMb = (process.memoryUsage().arrayBuffers - arrayBuffers) / 1e6;
      return grownMb < 24 || undefined;
    };
    await poll(isBounded, { everyMs: 5, timeoutMs: 10_000, what: 'a bound' }).catch(() => undefined);
    t.ok(grownMb < 24, `${grownMb} MB in round ${round}`);
    disk.fail();
    await t.rejects(write, { message: 'the disk is gone' });
  }
  await log.close();
});
