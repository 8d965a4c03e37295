import t from 'tap';
import { Harness, spec, startTimeoutMs, stopPatienceMs, threeLevels } from './harness.js';

void t.test('everything stops in reverse order, each when nothing needs it any more', async (t) => {
  const h = new Harness([...threeLevels, spec('scheduler', ['apiserver']), spec('containerd')]);
  h.bringUp('etcd', 'apiserver', 'kubelet', 'scheduler', 'containerd');
  t.same(h.stop(), ['terminate kubelet', 'terminate scheduler', 'terminate containerd']);
  t.same(h.ends('scheduler'), []);
  t.same(h.ends('kubelet'), ['terminate apiserver']);
  t.same(h.ends('containerd'), []);
  t.same(h.ends('apiserver'), ['terminate etcd']);
  t.notOk(h.tree.stopped);
  t.same(h.ends('etcd'), []);
  t.ok(h.tree.stopped);
  t.equal(h.tree.nextWakeMs(), undefined);
});

void t.test('one is stopped after all that follow it', async (t) => {
  const h = new Harness([spec('apiserver'), spec('kubelet', [], { follows: ['apiserver'] })]);
  h.bringUp('apiserver', 'kubelet');
  t.same(h.stop(), ['terminate kubelet']);
  t.same(h.ends('kubelet'), ['terminate apiserver']);
});

void t.test('a stop before the start is over at once', async (t) => {
  const h = new Harness(threeLevels);
  t.same(h.stop(), []);
  t.ok(h.tree.stopped);
  t.same(h.after(60_000), [], 'and nothing starts after it');
});

void t.test('a stop in backoff cancels the restart', async (t) => {
  const h = new Harness([spec('a')]);
  h.bringUp('a');
  h.ends('a');
  t.same(h.stop(), []);
  t.ok(h.tree.stopped);
  t.same(h.after(60_000), []);
});

void t.test('one in backoff or waiting holds up nothing that it needs', async (t) => {
  const h = new Harness(threeLevels);
  h.bringUp('etcd', 'apiserver');
  h.ends('apiserver');
  t.same(h.kinds(), { etcd: 'healthy', apiserver: 'backoff', kubelet: 'starting' });
  t.same(h.stop(), ['terminate kubelet', 'terminate etcd']);
});

void t.test(
  'a start that is under way is ended when its turn comes, and no timeout disturbs it before',
  async (t) => {
    const h = new Harness(threeLevels);
    h.bringUp('etcd', 'apiserver', 'kubelet');
    h.ends('apiserver');
    h.after(250);
    h.executed('apiserver');
    t.same(h.stop(), ['terminate kubelet']);
    h.after(stopPatienceMs);
    t.equal(h.tree.nextWakeMs(), undefined, 'there is nothing to wake up for');
    t.same(h.after(10 * startTimeoutMs), []);
    t.same(h.ends('kubelet'), ['terminate apiserver']);
  },
);

void t.test('a start that is not executed yet is ended as well', async (t) => {
  const h = new Harness([spec('a')]);
  h.tick();
  t.same(h.stop(), ['terminate a']);
  t.same(h.ends('a', { kind: 'error', message: 'given up' }), []);
  t.ok(h.tree.stopped);
});

void t.test('one that fails while everything stops is not restarted', async (t) => {
  const h = new Harness(threeLevels);
  h.bringUp('etcd', 'apiserver', 'kubelet');
  h.stop();
  t.same(h.ends('etcd'), [], 'the one at the bottom, out of order');
  t.equal(h.state('etcd').kind, 'stopped');
  t.same(h.ends('kubelet'), ['terminate apiserver']);
  t.same(h.after(60_000), ['kill apiserver']);
  h.ends('apiserver');
  t.ok(h.tree.stopped);
});

void t.test('failed probes end nothing out of order', async (t) => {
  const h = new Harness(threeLevels);
  h.bringUp('etcd', 'apiserver', 'kubelet');
  h.stop();
  for (let probe = 0; probe < 10; probe++) t.same(h.fails('etcd'), []);
  h.ends('kubelet');
  t.same(h.ends('apiserver'), ['terminate etcd']);
});

void t.test('what does not heed SIGTERM is killed, and the rest waits for it', async (t) => {
  const h = new Harness([spec('a'), spec('b', ['a'], { stopPatienceMs: 30_000 })]);
  h.bringUp('a', 'b');
  t.same(h.stop(), ['terminate b']);
  t.equal(h.tree.nextWakeMs(), h.nowMs + 30_000, 'each has its own patience');
  t.same(h.after(29_999), []);
  t.same(h.after(1), ['kill b']);
  t.same(h.after(60_000), []);
  t.same(h.ends('b'), ['terminate a']);
});

void t.test('one that is being ended already is not told again, and does not come back', async (t) => {
  const h = new Harness([spec('a', [], { failureThreshold: 1 })]);
  h.bringUp('a');
  t.same(h.fails('a'), ['terminate a']);
  h.after(1_000);
  t.same(h.stop(), []);
  t.same(h.after(stopPatienceMs - 1_000), ['kill a'], 'its patience goes on from when it began');
  h.ends('a');
  t.ok(h.tree.stopped);
});

void t.test('what turns out to run after the stop is ended', async (t) => {
  const h = new Harness(threeLevels);
  h.stop();
  h.handle({ kind: 'adopted', name: 'etcd' });
  h.handle({ kind: 'adopted', name: 'apiserver' });
  t.notOk(h.tree.stopped);
  t.same(h.tick(), ['terminate apiserver']);
  t.same(h.ends('apiserver'), ['terminate etcd']);
});

void t.test('what is added after the stop stays at rest', async (t) => {
  const h = new Harness([]);
  h.stop();
  h.tree.add(spec('late'));
  t.same(h.tick(), []);
  t.ok(h.tree.stopped);
});
