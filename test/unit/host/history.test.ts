import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { History } from '../../../src/host/history.js';
import type { RestartFields } from '../../../src/ipc/services/restart.js';

function fields(name: string, overrides: Partial<RestartFields> = {}): RestartFields {
  return {
    name,
    run: 1,
    pid: 100,
    atMs: 1_000,
    kind: 'exited',
    code: 1,
    signal: null,
    message: 'exited with code 1',
    waitedFor: [],
    nextTryMs: 1_250,
    executedMs: null,
    healthyMs: null,
    lastLines: ['the end'],
    causeId: null,
    ...overrides,
  };
}

void t.test('what is written down is there after a new start, in its last state', async (t) => {
  const file = path.join(t.testdir(), 'restarts.jsonl');
  const history = new History(file);
  t.same(history.list('', 0), []);
  const first = history.put(null, fields('etcd'));
  const second = history.put(null, fields('kube.apiserver', { causeId: first }));
  t.equal(history.put(first, fields('etcd', { healthyMs: 2_000 })), first);
  t.same([first, second], [1, 2]);
  await history.written();
  t.equal(statSync(file).mode & 0o777, 0o600);

  const again = new History(file);
  t.same(again.list('', 0), history.list('', 0));
  t.match(again.list('etcd', 0), [{ id: 1, healthyMs: 2_000, lastLines: ['the end'] }]);
  t.match(again.list('', 1), [{ id: 2 }], 'the last so many');
  t.same(again.tookWith(first), ['kube.apiserver']);
  t.equal(again.put(null, fields('etcd')), 3, 'numbers do not come again');
});

void t.test('it is bounded, in memory and on the disk', async (t) => {
  const file = path.join(t.testdir(), 'restarts.jsonl');
  const history = new History(file);
  for (let round = 0; round < 10; round++) {
    for (let count = 0; count < 300; count++) history.put(null, fields('etcd'));
    await history.written();
  }
  t.equal(history.list('', 0).length, 256);
  t.match(history.list('', 1), [{ id: 3_000 }]);
  t.ok(readFileSync(file, 'utf8').split('\n').length <= 8 * 256 + 1);
  t.same(new History(file).list('', 0), history.list('', 0));
});

void t.test('what a power cut leaves is passed over, and does not spoil what comes after it', async (t) => {
  const file = path.join(t.testdir(), 'restarts.jsonl');
  const history = new History(file);
  history.put(null, fields('etcd'));
  history.put(null, fields('containerd'));
  await history.written();
  const whole = readFileSync(file, 'utf8');
  const [line = ''] = whole.split('\n');
  for (const torn of [line.slice(0, 40), '\0\0\0\0', `${line.slice(0, 40)}\n`, '{}\n', '[1]\n']) {
    writeFileSync(file, whole);
    appendFileSync(file, torn);
    const next = new History(file);
    t.match(next.list('', 0), [{ name: 'etcd' }, { name: 'containerd' }], { length: 2 });
    next.put(null, fields('kube.proxy'));
    await next.written();
    t.match(new History(file).list('', 0), [{ id: 1 }, { id: 2 }, { id: 3, name: 'kube.proxy' }]);
  }
});

void t.test('a disk that is full costs nothing but the record on it', async (t) => {
  const folder = t.testdir({ 'restarts.jsonl': {} });
  const logged: string[] = [];
  const log = { error: (_: object, message: string) => void logged.push(message) };
  // A folder in its place fails every write, as root too.
  const history = new History(path.join(folder, 'restarts.jsonl'), log as never);
  t.equal(history.put(null, fields('etcd')), 1);
  await history.written();
  t.match(logged, [/^the history was not written: EISDIR/]);
  t.equal(history.list('', 0).length, 1);
});

void t.test('what nobody has seen the end of is known, unless the same has ended again since', async (t) => {
  const history = new History(path.join(t.testdir(), 'restarts.jsonl'));
  history.put(null, fields('etcd'));
  history.put(null, fields('etcd', { healthyMs: 2_000 }));
  history.put(null, fields('kube.proxy', { healthyMs: 2_000 }));
  const open = history.put(null, fields('kube.proxy'));
  t.match(history.open(['etcd', 'kube.proxy', 'kube.kubelet']), [{ id: open, name: 'kube.proxy' }]);
  t.same(history.open(['etcd']), []);
  await history.written();
});
