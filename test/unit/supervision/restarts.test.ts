import t from 'tap';
import { healthyResetMs } from '../../../src/supervision/backoff.js';
import { RestartTracker, type Restart } from '../../../src/supervision/restarts.js';
import type { State } from '../../../src/supervision/state.js';
import { failureThreshold, Harness, spec, stopPatienceMs } from './harness.js';

/** A tree whose changes of state are watched; the wall clock is a million ahead of the tree's. */
function watched(...specs: ReturnType<typeof spec>[]) {
  const h = new Harness(specs);
  const tracker = new RestartTracker();
  const last = new Map<string, State>();
  const written: Restart[] = [];
  /** To be called after each event. */
  const look = () => {
    for (const name of h.tree.names) {
      const state = h.state(name);
      const old = last.get(name);
      if (old === state) continue;
      last.set(name, state);
      const open = tracker.observe(name, old, state, h.nowMs, h.nowMs + 1_000_000);
      if (open !== undefined) written.push(open.restart);
    }
  };
  return { h, tracker, written, look };
}

void t.test('a first start is no restart', async (t) => {
  const { h, written, look } = watched(spec('a'));
  for (const step of [() => h.tick(), () => h.executed('a'), () => h.answers('a')]) {
    step();
    look();
  }
  t.same(written, []);
});

void t.test('an end is followed to the next good probe', async (t) => {
  const { h, tracker, written, look } = watched(spec('a'));
  h.bringUp('a');
  look();
  h.nowMs = 10_000;
  tracker.ended('a', { run: 1, pid: 77, code: 3, signal: null });
  h.ends('a', { kind: 'exited', code: 3 });
  look();
  t.match(written, [
    { name: 'a', run: 1, pid: 77, atMs: 1_010_000, kind: 'exited', code: 3, nextTryMs: 1_010_250 },
  ]);
  h.after(250);
  look();
  t.equal(written.length, 1, 'a start that is being prepared is no news');
  h.nowMs = 10_300;
  h.executed('a');
  look();
  h.nowMs = 10_700;
  h.answers('a');
  look();
  t.match(written.at(-1), { executedMs: 1_010_300, healthyMs: 1_010_700, atMs: 1_010_000 });
  t.equal(written.length, 3);
});

void t.test('what hangs is one restart, with the signal that ended it in the end', async (t) => {
  const { h, tracker, written, look } = watched(spec('a'));
  h.bringUp('a');
  look();
  for (let times = 0; times < failureThreshold; times++) h.fails('a', 'no answer');
  look();
  t.match(written, [{ kind: 'probe-failed', signal: null, nextTryMs: null }]);
  h.after(stopPatienceMs);
  look();
  tracker.ended('a', { run: 1, pid: 5, code: null, signal: 'SIGKILL' });
  h.ends('a', { kind: 'killed', signal: 'SIGKILL' });
  look();
  t.equal(written.length, 2);
  t.match(written[1], { kind: 'probe-failed', signal: 'SIGKILL', pid: 5, nextTryMs: 1_010_250 });
});

void t.test('what is waited for before a restart is named', async (t) => {
  const { h, written, look } = watched(spec('etcd'), spec('api', ['etcd']));
  h.bringUp('etcd', 'api');
  look();
  h.ends('etcd');
  h.ends('api');
  look();
  h.after(250);
  look();
  t.match(written.at(-1), { name: 'api', waitedFor: ['etcd'] });
});

void t.test('a program that is missing ran as no process', async (t) => {
  const { h, written, look } = watched(spec('a'));
  h.tick();
  h.ends('a', { kind: 'exec-failed', message: 'there is no program /a' });
  look();
  t.match(written, [{ kind: 'exec-failed', run: 0, pid: 0, code: null, message: /there is no program/ }]);
});

void t.test('an ordered stop is no restart', async (t) => {
  const { h, written, look } = watched(spec('a'));
  h.bringUp('a');
  h.stop();
  look();
  h.ends('a');
  look();
  t.same(written, []);
});

void t.test('a restart that another one began to watch is followed to its end', async (t) => {
  const first = watched(spec('a'), spec('b'));
  first.h.bringUp('a', 'b');
  first.look();
  first.h.ends('a');
  first.h.ends('b');
  first.look();
  first.h.after(250);
  first.h.executed('b');
  first.look();
  const begun = new Map(first.written.map((restart) => [restart.name, restart]));

  const { h, tracker, written, look } = watched(spec('a'), spec('b'));
  for (const restart of begun.values()) tracker.resume(restart);
  h.nowMs = 20_000;
  h.handle({ kind: 'adopted', name: 'b' });
  h.tick();
  look();
  t.same(written, [], 'when it was executed is known');
  h.bringUp('a', 'b');
  look();
  t.match(written.at(-2), { name: 'a', atMs: begun.get('a')?.atMs, healthyMs: 1_020_000 });
  t.match(written.at(-1), {
    name: 'b',
    executedMs: begun.get('b')?.executedMs,
    healthyMs: 1_020_000,
  });
});

void t.test('an end after a healthy spell is written down, though there is no wait', async (t) => {
  const { h, tracker, written, look } = watched(spec('etcd'), spec('api', ['etcd']));
  h.bringUp('etcd', 'api');
  look();
  h.after(healthyResetMs);
  const atMs = h.nowMs + 1_000_000;
  tracker.ended('etcd', { run: 1, pid: 7, code: null, signal: 'SIGKILL' });
  h.ends('etcd', { kind: 'killed', signal: 'SIGKILL' });
  look();
  t.equal(h.state('etcd').kind, 'starting');
  t.match(written, [{ name: 'etcd', pid: 7, kind: 'killed', signal: 'SIGKILL', atMs, nextTryMs: atMs }]);
  h.ends('api', { kind: 'exited', code: 1 });
  look();
  t.equal(h.state('api').kind, 'waiting');
  t.match(written.at(-1), { name: 'api', kind: 'exited', atMs, waitedFor: ['etcd'] });
  for (const name of ['etcd', 'api']) {
    h.executed(name);
    look();
    h.answers(name);
    look();
    t.match(written.filter((restart) => restart.name === name).at(-1), { executedMs: atMs, healthyMs: atMs });
  }
});

void t.test('so is the next try of what hung after a healthy spell', async (t) => {
  const { h, written, look } = watched(spec('a'));
  h.bringUp('a');
  look();
  h.after(healthyResetMs);
  for (let times = 0; times < failureThreshold; times++) h.fails('a', 'no answer');
  look();
  h.ends('a');
  look();
  t.equal(h.state('a').kind, 'starting');
  t.match(written, [{ nextTryMs: null }, { kind: 'probe-failed', nextTryMs: h.nowMs + 1_000_000 }]);
});
