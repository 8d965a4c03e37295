import t from 'tap';
import type { Child } from '../../../src/ipc/services/host.js';
import { componentNames } from '../../../src/lib/names.js';
import { discontinuities, type Ended } from '../../chaos/continuity.js';

/** All components; `others` names those that run as another process by now. */
function children(...others: readonly string[]): Child[] {
  return componentNames.map((name, index) => ({
    name,
    pid: 100 + index,
    startTicks: others.includes(name) ? 2_000 : 1_000,
    run: 1,
    startedAtMs: 0,
    digest: '',
    exit: null,
  }));
}

const ended = (id: number, name: string, causeId: number | null = null): Ended => ({
  id,
  name,
  message: 'exited with code 1',
  causeId,
});

const before = { children: children(), history: [ended(6, 'etcd'), ended(7, 'kube.proxy', 6)] };
const { history } = before;

void t.test('whatever a fault does not name has to go on as the same process', (t) => {
  t.same(discontinuities(before, before, []), []);
  t.same(discontinuities(before, { children: children('etcd'), history }, ['etcd']), []);
  t.match(discontinuities(before, { children: children('etcd', 'kube.proxy'), history }, ['etcd']), [
    /^kube\.proxy is process 105 of tick 2000 instead of process 105 of tick 1000/,
  ]);
  t.equal(discontinuities(before, { children: children(...componentNames), history }, []).length, 7);
  t.equal(discontinuities(before, { children: [], history }, ['etcd']).length, 6);
  t.end();
});

void t.test('what died of a component that the fault names has the history say so', (t) => {
  const others = ['etcd', 'kube.apiserver', 'kube.scheduler'];
  const now = (...records: Ended[]) => ({ children: children(...others), history: [...history, ...records] });
  const chain = [ended(8, 'etcd'), ended(9, 'kube.apiserver', 8), ended(10, 'kube.scheduler', 9)];
  t.same(discontinuities(before, now(...chain), ['etcd']), []);
  t.same(
    discontinuities(before, now(...chain), []),
    others.map((name) => `${name} exited with code 1`),
    'the history of a restart is no reason for it',
  );
  t.same(
    discontinuities(
      before,
      now(ended(8, 'etcd'), ended(9, 'kube.apiserver'), ended(10, 'kube.scheduler', 6)),
      ['etcd'],
    ),
    ['kube.apiserver exited with code 1', 'kube.scheduler exited with code 1'],
    'nor is what was before the fault',
  );
  t.same(
    discontinuities(before, { ...before, history: [...history, ended(8, 'kube.proxy')] }, ['etcd']),
    ['kube.proxy exited with code 1'],
    'an end is one, whoever runs in its place',
  );
  t.end();
});
