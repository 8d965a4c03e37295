import t from 'tap';
import { BootTimeline, criticalPath } from '../../../src/host/boot.js';
import { ConditionBoard } from '../../../src/host/conditions.js';
import { allConditionNames } from '../../../src/lib/names.js';
import { never } from './children-fixture.js';

function start() {
  const board = new ConditionBoard(allConditionNames, 0);
  const boot = new BootTimeline(board, never);
  /** A change of the board, once the timeline has seen it. */
  const set = async (
    name: string,
    reason: string,
    waitsFor: string[] = [],
    not: 'false' | 'unknown' = 'false',
  ) => {
    const status = reason === '' ? ('true' as const) : not;
    board.set({ name, status, reason, message: `${reason} ${waitsFor.join()}`, waitsFor }, 0);
    await new Promise((resolve) => setTimeout(resolve, 2));
  };
  const step = (name: string) => {
    const found = boot.steps.find((one) => one.name === name);
    if (found === undefined) throw new Error(`there is no step ${name}`);
    return found;
  };
  return { boot, set, step };
}

void t.test('a start is recorded step by step, with what each step waited for', async (t) => {
  const { boot, set, step } = start();
  const found = boot.begin('components');
  await set('hamlet.kubelet', 'Starting');
  found();
  await set('hamlet.kubelet', '');
  await set('kube.apiserver', 'Waiting', ['etcd']);
  await set('etcd', 'Preparing');
  await set('etcd', 'Starting');
  await set('etcd', '');
  await set('kube.apiserver', 'Preparing', ['PKIReady']);
  await set('PKIReady', '');
  await set('kube.apiserver', 'Starting');
  t.same(criticalPath(boot.steps).slice(-1), ['APIServerAnswers'], 'before there is a last step');
  await set('NodeReady', 'WaitingForAPIServer', [], 'unknown');
  t.same(
    criticalPath(boot.steps).slice(-2),
    ['APIServerAnswers', 'NodeReady'],
    'what is under way is waited for',
  );
  await set('hamlet.reconciler', '');
  await set('NodeReady', 'NotRegistered');
  const answered = step('APIServerAnswers');
  t.ok((answered.doneMs ?? 0) > (answered.beganMs ?? Infinity), 'answers before it says that it is ready');
  await set('kube.apiserver', '');
  await set('kube.kubelet', '');
  await set('NodeReady', '');

  const apiserver = step('kube.apiserver');
  t.same(apiserver.waitsFor, ['etcd', 'PKIReady']);
  const { seenMs, beganMs, executedMs, doneMs } = apiserver;
  const times = [seenMs, step('etcd').doneMs, beganMs, step('PKIReady').doneMs, executedMs, doneMs];
  t.same(
    times,
    [...times].sort((a, b) => (a ?? 0) - (b ?? 0)),
    'in this order',
  );
  t.ok(times.every((ms) => ms !== null && ms > 0));
  t.same(criticalPath(boot.steps), ['kube.kubelet', 'NodeReady']);

  await set('kube.scheduler', 'Starting');
  await set('kube.scheduler', '');
  await set('etcd', 'Killed');
  await set('etcd', '');
  t.equal(step('etcd').doneMs, times[1], 'what happens when the node is ready is no part of its start');
});

void t.test('the path goes over what was done last', (t) => {
  const step = (name: string, doneMs: number | null, ...waitsFor: string[]) => ({
    name,
    waitsFor,
    seenMs: 0,
    beganMs: null,
    executedMs: null,
    doneMs,
  });
  const steps = [
    step('hamlet', 1),
    step('etcd', 50, 'hamlet'),
    step('containerd', 70, 'hamlet'),
    step('kube.apiserver', 300, 'etcd', 'PKIReady'),
    step('PKIReady', 90, 'etcd'),
    step('NodeReady', 400, 'kube.apiserver', 'containerd', 'kube.proxy'),
    step('kube.proxy', 500, 'kube.apiserver'),
  ];
  t.same(criticalPath(steps), ['hamlet', 'etcd', 'PKIReady', 'kube.apiserver', 'NodeReady']);
  t.same(criticalPath([step('a', null, 'b'), step('b', null, 'a')]), ['a', 'b'], 'a circle is no trap');
  t.same(criticalPath([]), []);
  t.end();
});

void t.test('times count from where the run began', (t) => {
  const beganMs = performance.now();
  const boot = new BootTimeline(new ConditionBoard(allConditionNames, 0), never, beganMs);
  const { seenMs, doneMs } = boot.steps[0] ?? {};
  t.equal(seenMs, 0);
  t.ok((doneMs ?? -1) >= 0 && (doneMs ?? Infinity) <= performance.now() - beganMs);
  t.ok(boot.nowMs >= (doneMs ?? Infinity));
  t.end();
});
