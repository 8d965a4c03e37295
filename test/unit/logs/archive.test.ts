import { existsSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { FollowRequest, LogRecord } from '../../../src/ipc/services/logs.js';
import type { JobPool } from '../../../src/jobs/pool.js';
import { Archive } from '../../../src/workers/logs/archive.js';
import { segmentFiles, type SegmentFiles } from '../../../src/workers/logs/segment-files.js';
import { Follower } from '../../../src/workers/logs/follower.js';
import { everything } from '../../mesh/fixtures/follow.js';
import { folderBytes } from '../../mesh/fixtures/folder-bytes.js';
import { silent } from '../../mesh/fixtures/mesh.js';
import { Source } from './source.js';

const noJobs = { run: () => new Promise(() => {}) } as Pick<JobPool, 'run'>;

void t.test('the budget is kept while a flood is written, too', async (t) => {
  const dir = t.testdir();
  const maxBytes = 1024 * 1024;
  const segmentBytes = 64 * 1024;
  let mostBytes = 0;
  const files: SegmentFiles = {
    ...segmentFiles,
    // Called for each segment that is begun.
    open: (file) => {
      if (existsSync(path.dirname(file))) mostBytes = Math.max(mostBytes, folderBytes(dir));
      return segmentFiles.open(file);
    },
  };
  const source = new Source();
  const rings = new Map([['loud', source.ring]]);
  const archive = new Archive({ settings: { dir, maxBytes }, rings, jobs: noJobs, log: silent, files });
  await archive.ready;
  for (let i = 0; i < 60; i += 1) source.write(`${'x'.repeat(999)}\n`.repeat(64));
  await archive.close();
  t.ok(mostBytes > maxBytes / 2, `${mostBytes} bytes`);
  t.ok(mostBytes <= maxBytes + 2 * segmentBytes, `${mostBytes} bytes`);
});

void t.test('what the budget has cost is a gap for who asks for it, in the next start too', async (t) => {
  const settings = { dir: t.testdir(), maxBytes: 1024 * 1024 };
  const old = new Source(1);
  const before = new Archive({ settings, rings: new Map([['loud', old.ring]]), jobs: noJobs, log: silent });
  await before.ready;
  const linesPerRun = 64;
  const runs = 60;
  for (let run = 1; run <= runs; run += 1) old.write(`${'x'.repeat(999)}\n`.repeat(linesPerRun), run);
  await before.close();

  const { ring } = new Source(2);
  const rings = new Map([['loud', ring]]);
  const archive = new Archive({ settings, rings, jobs: noJobs, log: silent });
  await archive.ready;
  const { origin, written } = old.ring;
  const first = (await archive.linesFrom('loud', 0))?.sequence ?? 0;
  t.ok(first > origin + 2 * linesPerRun, `${first - origin} lines are gone`);
  t.equal((await archive.linesBefore('loud', Infinity))?.end, written, 'the last ones are not');

  const read = async (request: Partial<FollowRequest>): Promise<LogRecord[]> => {
    const store = { rings, ring: () => ring, archive, latestRun: () => runs };
    const follower = new Follower(store, { ...everything, components: ['loud'], ...request });
    for await (const _ of follower.seek());
    const all: LogRecord[] = [];
    while (!follower.isOver(Date.now())) {
      await follower.lookUp();
      all.push(...follower.read().records);
    }
    return all;
  };
  const gap = { kind: 'gap', from: origin, to: first, lines: first - origin };
  const kept = written - first;
  for (const request of [{ sinceMs: 0 }, { sinceMs: 0, tail: 1_000_000 }]) {
    const records = await read(request);
    t.match(records[0], gap, JSON.stringify(request));
    t.equal(records.length, 1 + kept);
  }
  t.match(await read({ run: 1 }), [gap]);
  t.match((await read({ run: 2 }))[0], { kind: 'gap', to: first });
  for (const request of [{ run: runs }, { run: 'previous' as const }, { sinceMs: 0, tail: linesPerRun }]) {
    const records = await read(request);
    t.equal(records.length, linesPerRun, JSON.stringify(request));
    t.ok(records.every(({ kind }) => kind === 'line'));
  }
  t.same(await read({ sinceMs: Date.now() + 3_600_000 }), []);
  await archive.close();
});
