import t from 'tap';
import { Tree } from '../../../src/supervision/tree.js';
import { Harness, crashed, spec, startTimeoutMs, stopPatienceMs, threeLevels } from './harness.js';

void t.test('what needs nothing starts at once, the rest when what it needs is healthy', async (t) => {
  const h = new Harness([...threeLevels, spec('containerd')]);
  t.same(h.tick(), ['start etcd', 'start containerd']);
  t.same(h.state('apiserver'), { kind: 'waiting', for: ['etcd'], cause: null });
  t.same(h.executed('etcd'), [], 'an execution is no readiness');
  t.same(h.fails('etcd', 'connection refused'), []);
  t.match(h.state('etcd'), { kind: 'starting', lastProbe: 'connection refused' });
  t.same(h.answers('etcd'), ['start apiserver']);
  t.same(h.state('etcd'), { kind: 'healthy', sinceMs: h.nowMs, failing: null });
  t.same(h.answers('apiserver'), ['start kubelet']);
});

void t.test('one with several needs waits for the last of them, and says for which', async (t) => {
  const h = new Harness([spec('a'), spec('b'), spec('c', ['a', 'b'])]);
  h.tick();
  t.match(h.state('c'), { kind: 'waiting', for: ['a', 'b'] });
  t.same(h.answers('b'), []);
  t.match(h.state('c'), { kind: 'waiting', for: ['a'] });
  t.same(h.answers('a'), ['start c']);
});

void t.test('one that follows another starts when that has been started, ready or not', async (t) => {
  const h = new Harness([
    spec('etcd'),
    spec('apiserver', ['etcd']),
    spec('kubelet', [], { follows: ['apiserver'] }),
  ]);
  t.same(h.tick(), ['start etcd']);
  t.match(h.state('kubelet'), { kind: 'waiting', for: ['apiserver'] });
  t.same(h.answers('etcd'), ['start apiserver', 'start kubelet']);
  h.ends('apiserver');
  h.ends('kubelet');
  t.same(h.after(250), ['start apiserver', 'start kubelet'], 'so it is with a restart');
});

void t.test('one that yields to another comes after it at the first start alone', async (t) => {
  const specs = [spec('containerd', [], { yieldsTo: ['etcd'] }), spec('etcd')];
  const h = new Harness(specs);
  t.same(h.tick(), ['start etcd']);
  t.match(h.state('containerd'), { kind: 'waiting', for: ['etcd'] });
  h.executed('etcd');
  t.match(h.state('containerd'), { kind: 'waiting', for: ['etcd'] });
  t.same(h.answers('etcd'), ['start containerd']);
  h.executed('containerd');
  h.ends('etcd');
  h.ends('containerd');
  t.same(h.after(250).sort(), ['start containerd', 'start etcd'], 'a restart waits for nobody');
});

void t.test('one that fails is yielded to no longer', async (t) => {
  const h = new Harness([spec('containerd', [], { yieldsTo: ['etcd'] }), spec('etcd')]);
  h.tick();
  h.executed('etcd');
  t.same(h.ends('etcd'), ['start containerd']);
});

void t.test('who yields may not be waited for by the one it yields to', async (t) => {
  const specs = [spec('a', [], { yieldsTo: ['b'] }), spec('b', ['a'])];
  t.throws(() => new Tree(specs, () => 0), { code: 'FAILED_PRECONDITION', message: /circle: a → b → a/ });
});

void t.test('the order of declaration is no order of starting', async (t) => {
  const h = new Harness([...threeLevels].reverse());
  t.same(h.tick(), ['start etcd']);
  t.same(h.answers('etcd'), ['start apiserver']);
});

void t.test('a state that has not changed stays the same object', async (t) => {
  const h = new Harness(threeLevels);
  h.tick();
  const waiting = h.state('kubelet');
  h.fails('etcd');
  const starting = h.state('etcd');
  h.fails('etcd');
  t.equal(h.state('etcd'), starting);
  h.answers('etcd');
  t.equal(h.state('kubelet'), waiting);
  const healthy = h.state('etcd');
  h.answers('etcd');
  h.after(1_000);
  t.equal(h.state('etcd'), healthy);
});

void t.test(
  'the start timeout counts from the execution, and is over at its very last millisecond',
  async (t) => {
    const h = new Harness([spec('etcd')]);
    h.tick();
    t.equal(h.tree.nextWakeMs(), undefined);
    t.same(h.after(10 * startTimeoutMs), [], 'what comes before a start has its own limits');
    h.executed('etcd');
    h.fails('etcd', 'no leader yet');
    t.equal(h.tree.nextWakeMs(), h.nowMs + startTimeoutMs);
    t.same(h.after(startTimeoutMs - 1), []);
    t.same(h.after(1), ['terminate etcd']);
    const cause = { kind: 'start-timeout', message: 'no leader yet' };
    t.same(h.state('etcd'), { kind: 'stopping', killAtMs: h.nowMs + stopPatienceMs, killed: false, cause });
    t.same(h.ends('etcd', { kind: 'killed', signal: 'SIGTERM' }), []);
    t.same(
      h.state('etcd'),
      { kind: 'backoff', untilMs: h.nowMs + 250, cause },
      'its signal is not the cause',
    );
  },
);

void t.test(
  'what runs already is taken over, and nothing starts before all of it has been named',
  async (t) => {
    const h = new Harness([...threeLevels, spec('containerd')]);
    t.same(h.handle({ kind: 'adopted', name: 'apiserver' }), []);
    t.same(h.handle({ kind: 'adopted', name: 'etcd' }), []);
    t.same(h.tick(), ['start containerd']);
    t.match(h.state('etcd'), { kind: 'starting', executedMs: h.nowMs });
    t.same(h.answers('apiserver'), ['start kubelet'], 'its own need may be late');
    t.same(h.after(startTimeoutMs), ['terminate etcd'], 'it has to answer like anything else');
  },
);

void t.test('what should be ready by its age, and is not, has a shorter time than a start', async (t) => {
  const h = new Harness([
    spec('old', [], { startTimeoutMs: 60_000 }),
    spec('new', [], { startTimeoutMs: 60_000 }),
  ]);
  h.handle({ kind: 'adopted', name: 'old', ageMs: 3_600_000 });
  h.handle({ kind: 'adopted', name: 'new', ageMs: 15_000 });
  t.same(h.after(19_999), []);
  t.same(h.after(1), ['terminate old']);
  h.ends('old', { kind: 'exited', code: 0 });
  h.nowMs += 24_999;
  t.same(h.after(1), ['start old', 'terminate new'], 'its start goes on from where it was');
});

void t.test('who cannot be asked yet is not given up, and has its time once it can be', async (t) => {
  const h = new Harness([spec('a', [], { startTimeoutMs: 60_000 })]);
  const unasked = () => h.handle({ kind: 'probe', name: 'a', ok: false, counts: false, message: 'no keys' });
  h.handle({ kind: 'adopted', name: 'a', ageMs: 3_600_000 });
  for (let waited = 0; waited < 120_000; waited += 10_000) {
    t.same(unasked(), []);
    t.same(h.after(10_000), []);
  }
  h.fails('a');
  t.same(h.after(9_999), []);
  t.same(h.after(1), ['terminate a'], '20 seconds after it could not be asked for the last time');

  const young = new Harness([spec('a', [], { startTimeoutMs: 60_000 })]);
  young.tick();
  young.executed('a');
  young.handle({ kind: 'probe', name: 'a', ok: false, counts: false, message: 'no keys' });
  t.same(young.after(59_999), []);
  t.same(young.after(1), ['terminate a'], 'its time does not begin anew');
});

void t.test('what runs with other settings goes and comes back at once, and it is no failure', async (t) => {
  const h = new Harness(threeLevels);
  h.handle({ kind: 'adopted', name: 'etcd' });
  t.same(h.handle({ kind: 'outdated', name: 'etcd', what: 'settings' }), ['terminate etcd']);
  t.same(h.handle({ kind: 'outdated', name: 'etcd', what: 'settings' }), [], 'it is told once');
  t.same(h.ends('etcd'), ['start etcd']);
  h.executed('etcd');
  h.ends('etcd');
  t.equal(h.backoffMs('etcd'), 250, 'the first failure');
  t.same(
    h.handle({ kind: 'outdated', name: 'apiserver', what: 'settings' }),
    [],
    'what does not run need not go',
  );
});

void t.test(
  'what ended before anybody watched starts with the rest, and why it ended is not lost',
  async (t) => {
    const h = new Harness(threeLevels);
    const cause = { kind: 'killed', signal: 'SIGKILL' } as const;
    t.same(h.handle({ kind: 'gone', name: 'etcd', cause }), [], 'others may have to be named yet');
    t.match(h.state('etcd'), { kind: 'waiting', cause });
    t.same(h.tick(), ['start etcd']);
    t.match(h.state('etcd'), { kind: 'starting', cause });
  },
);

void t.test('a second notice of what runs changes nothing', async (t) => {
  const h = new Harness(threeLevels);
  h.bringUp('etcd');
  const healthy = h.state('etcd');
  h.handle({ kind: 'adopted', name: 'etcd' });
  t.equal(h.state('etcd'), healthy);
});

void t.test('a node that is added starts with the next event', async (t) => {
  const h = new Harness([spec('a')]);
  h.bringUp('a');
  h.tree.add(spec('b', ['a']));
  h.tree.add(spec('c', ['b']));
  t.same(h.tick(), ['start b']);
  t.same(h.answers('b'), ['start c']);
  t.same(h.tree.names, ['a', 'b', 'c']);
});

void t.test('what cannot be brought up is refused, and leaves the tree as it was', async (t) => {
  const refused = (specs: readonly ReturnType<typeof spec>[]) => () => new Tree(specs, Math.random);
  t.throws(refused([spec('a', ['b'])]), {
    code: 'FAILED_PRECONDITION',
    message: 'a needs b, which is not declared',
  });
  t.throws(refused([spec('a', ['a'])]), { message: 'needs form a circle: a → a' });
  t.throws(refused([spec('x', ['a']), spec('a', ['b']), spec('b', ['c']), spec('c', ['a'])]), {
    code: 'FAILED_PRECONDITION',
    message: 'needs form a circle: a → b → c → a',
  });
  t.throws(refused([spec('a', [], { follows: ['b'] })]), { code: 'FAILED_PRECONDITION' });
  t.throws(refused([spec('a', ['b']), spec('b', [], { follows: ['a'] })]), { code: 'FAILED_PRECONDITION' });
  t.throws(refused([spec('a'), spec('a')]), { code: 'ALREADY_EXISTS' });

  const h = new Harness([spec('a')]);
  t.throws(() => h.tree.add(spec('a')), { code: 'ALREADY_EXISTS' });
  t.throws(() => h.tree.add(spec('b', ['c'])), { code: 'FAILED_PRECONDITION' });
  t.throws(() => h.tree.add(spec('b', ['b'])), { code: 'FAILED_PRECONDITION' });
  t.same(h.tree.names, ['a']);
  t.throws(() => h.state('b'), { code: 'NOT_FOUND', message: 'nothing is called b; there are a' });
});

void t.test('a diamond of needs is no circle, however deep', async (t) => {
  const levels = 40;
  const specs = [spec('0a'), spec('0b')];
  for (let level = 1; level <= levels; level++) {
    for (const side of ['a', 'b']) specs.push(spec(`${level}${side}`, [`${level - 1}a`, `${level - 1}b`]));
  }
  const h = new Harness(specs);
  t.same(h.tick(), ['start 0a', 'start 0b']);
});

void t.test('an event of something at rest changes nothing', async (t) => {
  const h = new Harness(threeLevels);
  h.tick();
  const waiting = h.state('kubelet');
  t.same(h.answers('kubelet'), []);
  t.same(h.executed('kubelet'), []);
  t.same(h.ends('kubelet', crashed), []);
  t.equal(h.state('kubelet'), waiting);
});
