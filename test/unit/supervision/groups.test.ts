import t from 'tap';
import { healthyResetMs } from '../../../src/supervision/backoff.js';
import {
  crashLoopFailures,
  crashLoopWindowMs,
  Groups,
  type Member,
} from '../../../src/supervision/groups.js';

const members = ['etcd', 'kube.apiserver', 'kube.scheduler', 'hamlet.logs', 'a.b.c'];

/** Groups, and a clock that only the test moves. */
class Clocked {
  nowMs = 1_000;
  readonly groups = new Groups(members, 'node', this.nowMs);
  #id = 0;

  is(name: string, kind: Member['kind'], message = kind as string): void {
    this.groups.update({ name, kind, message }, this.nowMs);
  }

  fails(name: string, times = 1, message = 'exited with code 1'): void {
    for (let i = 0; i < times; i++) {
      this.#id += 1;
      const failure = { name, id: this.#id, message, atMs: 1_000_000 + this.nowMs, nextTryMs: null };
      this.groups.failed(failure, this.nowMs);
    }
  }

  state(group: string) {
    return this.groups.state(group, this.nowMs);
  }

  loops(group: string): string[] {
    return this.state(group).loops.map(({ name, failures }) => `${name} ${failures}`);
  }
}

function allUp(): Clocked {
  const clocked = new Clocked();
  for (const name of members) clocked.is(name, 'up');
  return clocked;
}

void t.test('dots make groups, one in the other, and one has everything', async (t) => {
  const { groups } = new Clocked();
  t.same(groups.names, ['node', 'kube', 'hamlet', 'a', 'a.b']);
  const missing = (name: string) => groups.state(name, 0).missing.map((member) => member.name);
  t.same(missing('node'), members);
  t.same(missing('kube'), ['kube.apiserver', 'kube.scheduler']);
  t.same(missing('a'), ['a.b.c']);
  t.same(missing('a.b'), ['a.b.c']);
  t.throws(() => groups.state('kub', 0), { code: 'NOT_FOUND', message: /there are node, kube/ });
});

void t.test('a group says who is missing, the worst first, why and since when', async (t) => {
  const clocked = allUp();
  t.same(clocked.state('node'), { loops: [], missing: [] });
  clocked.nowMs = 2_000;
  clocked.is('kube.apiserver', 'under-way', 'waits for etcd');
  clocked.nowMs = 3_000;
  clocked.is('kube.scheduler', 'failed', 'exited with code 1');
  clocked.nowMs = 4_000;
  clocked.is('kube.apiserver', 'under-way', 'starting');
  t.same(clocked.state('kube').missing, [
    { name: 'kube.scheduler', kind: 'failed', message: 'exited with code 1', sinceMs: 3_000 },
    { name: 'kube.apiserver', kind: 'under-way', message: 'starting', sinceMs: 2_000 },
  ]);
  t.same(clocked.state('hamlet').missing, []);
  t.equal(clocked.state('node').missing.length, 2);
});

void t.test('so many failures are a crash loop, in each group above and in no other', async (t) => {
  const clocked = allUp();
  clocked.is('kube.scheduler', 'failed');
  clocked.fails('kube.scheduler', crashLoopFailures - 1);
  t.same(clocked.loops('node'), []);
  t.match(clocked.state('kube').missing, [{ name: 'kube.scheduler' }]);
  clocked.nowMs += 5_000;
  clocked.fails('kube.scheduler', 1, 'killed by SIGSEGV');
  for (const group of ['node', 'kube']) {
    t.same(clocked.loops(group), [`kube.scheduler ${crashLoopFailures}`]);
    t.same(clocked.state(group).missing, [], 'it is named once');
  }
  t.match(clocked.state('kube').loops, [
    { sinceMs: 1_001_000, last: { message: 'killed by SIGSEGV' }, isUp: false },
  ]);
  t.same(clocked.loops('hamlet'), []);
  clocked.fails('kube.scheduler');
  t.same(clocked.loops('kube'), [`kube.scheduler ${crashLoopFailures + 1}`]);
});

void t.test('failures that lie too far apart are none', async (t) => {
  const clocked = allUp();
  clocked.is('etcd', 'failed');
  for (let i = 0; i < 3 * crashLoopFailures; i++) {
    clocked.fails('etcd');
    clocked.nowMs += crashLoopWindowMs / (crashLoopFailures - 1) + 1;
  }
  t.same(clocked.loops('node'), []);
});

void t.test('more about the same failure is no other failure', async (t) => {
  const clocked = allUp();
  clocked.fails('etcd', crashLoopFailures);
  const { last } = clocked.state('node').loops[0] ?? {};
  if (last === undefined) throw new Error('no loop');
  clocked.groups.failed({ ...last, nextTryMs: 5 }, clocked.nowMs);
  t.match(clocked.state('node').loops, [{ failures: crashLoopFailures, last: { nextTryMs: 5 } }]);
});

void t.test('it is over when the member has been up for the reset time', async (t) => {
  const clocked = allUp();
  clocked.is('etcd', 'failed');
  clocked.fails('etcd', crashLoopFailures);
  clocked.nowMs += 2 * crashLoopWindowMs;
  t.equal(clocked.loops('node').length, 1, 'to wait for something else is not to be well');
  t.equal(clocked.groups.nextWakeMs(), undefined);
  clocked.is('etcd', 'up');
  t.match(clocked.state('node').loops, [{ isUp: true }]);
  t.equal(clocked.groups.nextWakeMs(), clocked.nowMs + healthyResetMs);
  clocked.nowMs += healthyResetMs - 1;
  t.equal(clocked.loops('node').length, 1);
  clocked.is('etcd', 'failed');
  clocked.is('etcd', 'up');
  clocked.nowMs += 1;
  t.equal(clocked.loops('node').length, 1, 'the time begins anew');
  clocked.nowMs += healthyResetMs;
  t.same(clocked.state('node'), { loops: [], missing: [] });
  t.equal(clocked.groups.nextWakeMs(), undefined);
});

void t.test('a healthy spell forgives what was before, whether its end is told early or late', async (t) => {
  const clocked = allUp();
  clocked.fails('etcd', crashLoopFailures - 1);
  clocked.nowMs += healthyResetMs;
  clocked.is('etcd', 'failed');
  clocked.is('etcd', 'up');
  clocked.fails('etcd', crashLoopFailures - 1);
  t.same(clocked.loops('node'), []);
  clocked.nowMs += healthyResetMs - 1;
  clocked.fails('etcd');
  t.equal(clocked.loops('node').length, 1, 'told of when it is up again');
  clocked.nowMs += healthyResetMs - 1;
  t.equal(clocked.loops('node').length, 1, 'and from then on it counts anew');
});
