import t from 'tap';
import { OomEnds } from '../../../src/host/oom-ends.js';
import type { Child } from '../../../src/ipc/services/host.js';

function child(pid: number): Child {
  return { name: 'etcd', pid, startTicks: 1, run: 1, startedAtMs: 0, digest: '', exit: null };
}

void t.test("the kernel's log is asked only about ends that may be of that kind", (t) => {
  const asked: number[] = [];
  let kills = 3;
  const wasKilled = (pid: number) => asked.push(pid) > 0 && pid === 2;
  const ends = new OomEnds(wasKilled, () => kills);
  t.notOk(ends.isAmong(child(2), null, 'SIGKILL'), 'nothing was counted');
  kills++;
  t.notOk(ends.isAmong(child(2), 0, null));
  t.notOk(ends.isAmong(child(2), null, 'SIGTERM'));
  t.same(asked, []);
  t.notOk(ends.isAmong(child(1), null, 'SIGKILL'), 'another one was');
  t.ok(ends.isAmong(child(2), null, 'SIGKILL'), 'whichever is heard of first');
  t.ok(ends.isAmong(child(2), null, null), 'also of one that is not a child');
  t.same(asked, [1, 2, 2]);
  t.end();
});

void t.test('a kernel that does not count is asked each time', (t) => {
  const ends = new OomEnds(
    () => true,
    () => undefined,
  );
  t.ok(ends.isAmong(child(1), null, 'SIGKILL'));
  t.ok(ends.isAmong(child(1), null, 'SIGKILL'));
  t.end();
});
