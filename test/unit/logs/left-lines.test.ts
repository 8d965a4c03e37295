import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { JobPool } from '../../../src/jobs/pool.js';
import { Archive } from '../../../src/workers/logs/archive.js';
import { segmentFiles, type SegmentFiles } from '../../../src/workers/logs/segment-files.js';
import { silent } from '../../mesh/fixtures/mesh.js';
import { Source } from './source.js';

const noJobs = { run: () => new Promise(() => {}) } as Pick<JobPool, 'run'>;

/** A disk on which there is no room for a line, as long as it `isFull`. */
function disk(isFull: () => boolean): SegmentFiles {
  return {
    ...segmentFiles,
    open: async (file) => {
      const open = await segmentFiles.open(file);
      return {
        write: async (parts, position) => {
          if (isFull()) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
          await open.write(parts, position);
        },
        truncate: (bytes) => open.truncate(bytes),
        sync: () => open.sync(),
        close: () => open.close(),
      };
    },
  };
}

void t.test(
  'what a full disk did not take before the end is there in the next start, and then on disk',
  async (t) => {
    const root = t.testdir({ left: {} });
    const leftDir = path.join(root, 'left');
    const settings = { dir: path.join(root, 'logs'), maxBytes: 1024 * 1024, leftDir };
    let full = false;
    const open = (source: Source) =>
      new Archive({
        settings,
        rings: new Map([['etcd', source.ring]]),
        jobs: noJobs,
        log: silent,
        files: disk(() => full),
      });
    const texts = async (archive: Archive, from: number) => {
      const found: string[] = [];
      for (let next = from; ;) {
        const block = await archive.linesFrom('etcd', next);
        if (block === undefined) return found;
        for (let i = 0; i < block.count; i += 1) found.push(block.line(i).data.toString());
        next = block.end;
      }
    };

    const first = new Source(1);
    const before = open(first);
    await before.ready;
    first.write('on disk\n');
    await before.close();
    t.same(readdirSync(leftDir), [], 'nothing needs to be left');

    full = true;
    const second = new Source(2);
    const during = open(second);
    await during.ready;
    second.write('in memory\nalone\n');
    await during.close();
    t.ok(existsSync(path.join(leftDir, 'etcd.lines')));

    // Still full: they are left once more, with what has come since.
    const third = new Source(3);
    const still = open(third);
    await still.ready;
    third.write('and more\n');
    t.same(await texts(still, 0), ['on disk', 'in memory', 'alone']);
    await still.close();

    full = false;
    const all = ['on disk', 'in memory', 'alone', 'and more'];
    const fourth = open(new Source(4));
    await fourth.ready;
    t.same(await texts(fourth, 0), all);
    await fourth.close();
    t.same(readdirSync(leftDir), [], 'nothing is left that is on disk');
    const fifth = open(new Source(5));
    await fifth.ready;
    t.same(await texts(fifth, 0), all);
    await fifth.close();
  },
);
