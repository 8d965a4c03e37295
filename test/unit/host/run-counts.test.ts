import { existsSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { RunCounts } from '../../../src/host/run-counts.js';

void t.test('runs are counted on across starts', (t) => {
  const file = path.join(t.testdir(), 'runs.json');
  const counts = new RunCounts(file);
  t.equal(counts.last('etcd'), 0);
  counts.note('etcd', 1);
  counts.note('etcd', 2);
  counts.note('kube.proxy', 7);
  counts.note('etcd', 1);
  t.equal(counts.last('etcd'), 2, 'an older run changes nothing');
  counts.flush();
  const again = new RunCounts(file);
  t.same([again.last('etcd'), again.last('kube.proxy')], [2, 7]);
  t.end();
});

void t.test('a run is written when it has begun, and no later than the end', async (t) => {
  const file = path.join(t.testdir(), 'runs.json');
  const counts = new RunCounts(file);
  counts.note('etcd', 1);
  t.notOk(existsSync(file), 'its start does not wait for that');
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(new RunCounts(file).last('etcd'), 1);
  counts.note('etcd', 2);
  counts.flush();
  t.equal(new RunCounts(file).last('etcd'), 2);
});

void t.test('a file that says nothing, or cannot be written, keeps nobody from starting', (t) => {
  const folder = t.testdir({ gone: {} });
  const file = path.join(folder, 'gone', 'runs.json');
  writeFileSync(file, '{"etcd": "many"}');
  const counts = new RunCounts(file);
  t.equal(counts.last('etcd'), 0);
  rmSync(path.join(folder, 'gone'), { recursive: true });
  counts.note('etcd', 1);
  counts.flush();
  t.equal(counts.last('etcd'), 1);
  t.end();
});
