import { existsSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { JobPool } from '../../../src/jobs/pool.js';
import { Archive } from '../../../src/workers/logs/archive.js';
import { segmentFiles, type SegmentFiles } from '../../../src/workers/logs/segment-files.js';
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
