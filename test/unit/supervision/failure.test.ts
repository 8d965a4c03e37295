import t from 'tap';
import { backoffMaxMs, backoffMs, healthyResetMs, jitterShare } from '../../../src/supervision/backoff.js';
import type { Cause } from '../../../src/supervision/state.js';
import {
  Harness,
  crashed,
  failureThreshold,
  spec,
  startTimeoutMs,
  stopPatienceMs,
  threeLevels,
} from './harness.js';

/** Ends what has been started, healthy for so long if told so, and gives how long it waits for its next start. */
function waitAfterFailure(h: Harness, name: string, healthyForMs?: number): number {
  h.executed(name);
  if (healthyForMs !== undefined) {
    h.answers(name);
    h.after(healthyForMs);
  }
  if (h.ends(name).includes(`start ${name}`)) return 0;
  const waitMs = h.backoffMs(name);
  if (!h.after(waitMs).includes(`start ${name}`)) throw new Error(`${name} is not started again`);
  return waitMs;
}

void t.test('a crash loop waits twice as long each time, up to 30 s', async (t) => {
  const h = new Harness([spec('a')]);
  h.tick();
  const waits = Array.from({ length: 10 }, () => waitAfterFailure(h, 'a'));
  t.same(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
});

void t.test('what the machine has nothing left for is tried every four seconds', async (t) => {
  const h = new Harness([spec('a')]);
  h.tick();
  for (let i = 0; i < 10; i += 1) waitAfterFailure(h, 'a');
  h.executed('a');
  for (let i = 0; i < 3; i += 1) {
    h.ends('a', { kind: 'shortage', message: 'EAGAIN' });
    t.equal(h.backoffMs('a'), 4_000);
    t.same(h.after(4_000), ['start a']);
  }
  const fresh = new Harness([spec('a')]);
  fresh.tick();
  const waits = Array.from({ length: 7 }, () => {
    fresh.ends('a', { kind: 'shortage', message: 'EAGAIN' });
    const waitMs = fresh.backoffMs('a');
    fresh.after(waitMs);
    return waitMs;
  });
  t.same(waits, [250, 500, 1_000, 2_000, 4_000, 4_000, 4_000]);
});

void t.test('jitter only shortens a wait, by a fifth at most', async (t) => {
  for (const failures of [1, 2, 7, 8, 100, 5_000]) {
    const full = backoffMs(failures, () => 0);
    const least = backoffMs(failures, () => 1 - Number.EPSILON);
    t.ok(full <= backoffMaxMs);
    t.equal(least, full * (1 - jitterShare), `after ${failures} failures`);
  }
  t.equal(
    backoffMs(0, () => 0),
    0,
  );
});

void t.test(
  'only 60 s of health reset the wait: one that answers once and dies again earns nothing',
  async (t) => {
    const h = new Harness([spec('a')]);
    h.tick();
    for (const waitMs of [250, 500, 1_000]) t.equal(waitAfterFailure(h, 'a', healthyResetMs - 1), waitMs);
    t.equal(
      waitAfterFailure(h, 'a', healthyResetMs),
      0,
      'the first restart after a healthy spell is immediate',
    );
    t.equal(waitAfterFailure(h, 'a'), 250, 'and then it is as at the beginning');
    t.equal(waitAfterFailure(h, 'a'), 500);
  },
);

void t.test('the start does not count as health', async (t) => {
  const h = new Harness([spec('a', [], { startTimeoutMs: 10 * healthyResetMs })]);
  h.bringUp('a');
  h.ends('a');
  h.after(250);
  h.executed('a');
  h.after(5 * healthyResetMs);
  h.answers('a');
  h.ends('a');
  t.equal(h.backoffMs('a'), 500);
});

void t.test('every way to end is restarted, a clean exit too, and keeps its cause', async (t) => {
  const causes: readonly Cause[] = [
    { kind: 'exited', code: 0 },
    { kind: 'exited', code: 3 },
    { kind: 'killed', signal: 'SIGSEGV' },
    { kind: 'out-of-memory' },
    { kind: 'program-missing', message: 'no such file' },
    { kind: 'not-executable', message: 'mode 0644' },
    { kind: 'wrong-architecture', message: 'for another machine' },
    { kind: 'shortage', message: 'too many open files' },
    { kind: 'exec-failed', message: 'no such interpreter' },
    { kind: 'error', message: 'no credentials' },
  ];
  for (const cause of causes) {
    const h = new Harness([spec('a')]);
    h.bringUp('a');
    t.same(h.ends('a', cause), []);
    t.same(h.state('a'), { kind: 'backoff', untilMs: h.nowMs + 250, cause });
    t.equal(h.tree.nextWakeMs(), h.nowMs + 250);
    t.same(h.after(249), []);
    t.same(h.after(1), ['start a']);
  }
});

void t.test(
  'after a healthy spell the restart comes with the very event that tells of the end',
  async (t) => {
    const h = new Harness([spec('a')]);
    h.bringUp('a');
    h.after(healthyResetMs);
    t.same(h.ends('a', { kind: 'exited', code: 0 }), ['start a']);
  },
);

void t.test('a running dependant is left alone when its dependency dies; one in backoff waits', async (t) => {
  const h = new Harness([...threeLevels, spec('scheduler', ['apiserver'])]);
  h.bringUp('etcd', 'apiserver', 'kubelet', 'scheduler');
  h.after(1_000);
  h.ends('scheduler', { kind: 'killed', signal: 'SIGKILL' });
  t.same(h.ends('apiserver'), []);
  t.same(h.kinds(), { etcd: 'healthy', apiserver: 'backoff', kubelet: 'healthy', scheduler: 'backoff' });
  t.same(h.after(250), ['start apiserver']);
  const cause = { kind: 'killed', signal: 'SIGKILL' };
  t.same(
    h.state('scheduler'),
    { kind: 'waiting', for: ['apiserver'], cause },
    'it still says what it died of',
  );
  t.same(h.answers('apiserver'), ['start scheduler'], 'its wait is over, so it starts at once');
  t.equal(h.state('kubelet').kind, 'healthy');
});

void t.test('a dependant whose own wait is longer goes on waiting when its dependency is back', async (t) => {
  const h = new Harness([spec('a'), spec('b', ['a'])]);
  h.bringUp('a', 'b');
  waitAfterFailure(h, 'b');
  h.ends('b');
  t.equal(h.backoffMs('b'), 500);
  h.ends('a');
  t.same(h.after(250), ['start a']);
  t.same(h.answers('a'), []);
  t.same(h.after(250), ['start b']);
});

void t.test('what another follows may die and come back as it likes', async (t) => {
  const h = new Harness([spec('apiserver'), spec('kubelet', [], { follows: ['apiserver'] })]);
  h.bringUp('apiserver', 'kubelet');
  const before = h.state('kubelet');
  h.ends('apiserver');
  t.same(h.after(250), ['start apiserver']);
  t.equal(h.state('kubelet'), before);
});

void t.test('a sibling goes on when one dies', async (t) => {
  const h = new Harness([spec('a'), spec('b'), spec('c', ['a'])]);
  h.bringUp('a', 'b', 'c');
  const before = h.state('b');
  t.same(h.ends('a'), []);
  t.same(h.after(250), ['start a']);
  t.equal(h.state('b'), before);
});

void t.test(
  'a hung component is ended at the threshold: good answers in between start the count anew',
  async (t) => {
    const h = new Harness([spec('a')]);
    h.bringUp('a');
    t.same([...h.fails('a'), ...h.fails('a')], []);
    t.match(h.state('a'), { kind: 'healthy', failing: { probes: 2, message: 'no answer' } });
    h.answers('a');
    t.match(h.state('a'), { kind: 'healthy', failing: null });
    t.same([...h.fails('a'), ...h.fails('a'), ...h.fails('a', 'timeout')], ['terminate a']);
    t.match(h.state('a'), { kind: 'stopping', cause: { kind: 'probe-failed', message: 'timeout' } });
    t.same(h.fails('a'), [], 'it is ended once');
  },
);

void t.test('what does not heed SIGTERM is killed when its patience is over, once', async (t) => {
  const h = new Harness([spec('a', [], { failureThreshold: 1 })]);
  h.bringUp('a');
  h.fails('a');
  t.equal(h.tree.nextWakeMs(), h.nowMs + stopPatienceMs);
  t.same(h.after(stopPatienceMs - 1), []);
  t.same(h.after(1), ['kill a']);
  t.match(h.state('a'), { kind: 'stopping', killed: true });
  t.equal(h.tree.nextWakeMs(), undefined);
  t.same(h.after(100 * stopPatienceMs), []);
  h.ends('a', { kind: 'killed', signal: 'SIGKILL' });
  t.match(h.state('a'), { kind: 'backoff', cause: { kind: 'probe-failed' } });
});

void t.test('one that is killed when it hangs is not asked to stop first', async (t) => {
  const h = new Harness([spec('a', [], { failureThreshold: 2, killedWhenHung: true })]);
  h.bringUp('a');
  t.same([...h.fails('a'), ...h.fails('a')], ['kill a']);
  t.match(h.state('a'), { kind: 'stopping', killed: true, cause: { kind: 'probe-failed' } });
  t.same(h.after(100 * stopPatienceMs), [], 'once');
  h.ends('a', { kind: 'killed', signal: 'SIGKILL' });
  t.match(h.state('a'), { kind: 'backoff', cause: { kind: 'probe-failed' } });
  h.after(250);
  h.answers('a');
  t.same(h.stop(), ['terminate a'], 'what does not hang is asked');
});

void t.test('a hang after a healthy spell is restarted at once too', async (t) => {
  const h = new Harness([spec('a', [], { failureThreshold: 1 })]);
  h.bringUp('a');
  h.ends('a');
  h.after(250);
  h.answers('a');
  h.after(healthyResetMs);
  t.same(h.fails('a'), ['terminate a']);
  h.after(stopPatienceMs);
  t.same(h.ends('a'), ['start a']);
});

void t.test('the time without an answer is no health', async (t) => {
  const h = new Harness([spec('hung'), spec('dead')]);
  h.bringUp('hung', 'dead');
  h.after(healthyResetMs - 1);
  for (const name of ['hung', 'dead']) h.fails(name);
  h.after(healthyResetMs);
  h.fails('hung');
  t.same(h.fails('hung'), ['terminate hung']);
  h.ends('hung');
  t.equal(h.backoffMs('hung'), 250);
  h.ends('dead');
  t.equal(h.backoffMs('dead'), 250);
});

void t.test('a probe that fails while a dependency is not well counts for nothing', async (t) => {
  const h = new Harness(threeLevels);
  h.bringUp('etcd', 'apiserver', 'kubelet');
  h.fails('apiserver', 'etcd failed');
  h.fails('etcd');
  for (let probe = 0; probe < 10; probe++) t.same(h.fails('apiserver', 'etcd failed'), []);
  for (let probe = 0; probe < 10; probe++) t.same(h.fails('kubelet', 'apiserver failed'), []);
  t.match(h.state('apiserver'), { failing: { probes: 1, message: 'etcd failed' } });
  t.match(h.state('kubelet'), { failing: { probes: 0 } });
  h.ends('etcd');
  t.same(h.fails('apiserver'), [], 'nor while it is away');
  h.after(250);
  h.answers('etcd');
  t.same([...h.fails('apiserver'), ...h.fails('apiserver')], ['terminate apiserver'], 'then it counts again');
});

void t.test('a start that fails again and again backs off as a crash does', async (t) => {
  const h = new Harness([spec('a')]);
  h.tick();
  for (const expected of [250, 500, 1_000]) {
    h.executed('a');
    t.same(h.after(startTimeoutMs), ['terminate a']);
    h.ends('a', crashed);
    t.equal(h.backoffMs('a'), expected, 'one failure each, not one for the timeout and one for the end');
    h.after(expected);
  }
});

void t.test('a probe that fails for want of what is not its own ends nothing', async (t) => {
  const h = new Harness([spec('a')]);
  h.bringUp('a');
  const message = 'connect EMFILE';
  for (let times = 0; times < 3 * failureThreshold; times++) {
    t.same(h.handle({ kind: 'probe', name: 'a', ok: false, message, counts: false }), []);
  }
  t.match(h.state('a'), { kind: 'healthy', failing: { probes: 0, message } }, 'it is told all the same');
  for (let times = 1; times < failureThreshold; times++) t.same(h.fails('a'), []);
  t.same(h.fails('a'), ['terminate a']);
});

void t.test('what ran well for long before it was adopted is started again at once', async (t) => {
  for (const [ageMs, waitMs] of [
    [86_400_000, 0],
    [healthyResetMs, 0],
    [healthyResetMs - 1, 250],
  ] as const) {
    const h = new Harness([spec('a')]);
    h.handle({ kind: 'adopted', name: 'a', ageMs });
    h.answers('a');
    if (waitMs === 0) t.same(h.ends('a'), ['start a'], `after ${ageMs} ms`);
    else {
      h.ends('a');
      t.equal(h.backoffMs('a'), waitMs, `after ${ageMs} ms`);
      h.after(waitMs);
    }
    const next = waitMs === 0 ? 250 : 500;
    h.executed('a');
    h.answers('a');
    h.ends('a');
    t.equal(h.backoffMs('a'), next, 'its next run has to earn that itself');
  }
  const h = new Harness([spec('a')]);
  h.handle({ kind: 'adopted', name: 'a', ageMs: 86_400_000 });
  h.ends('a');
  t.equal(h.backoffMs('a'), 250, 'one that never answered has no credit');
});
