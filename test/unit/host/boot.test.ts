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

void t.test('an API server that did not wait for the PKI leaves it off the path', async (t) => {
  const { boot, set } = start();
  await set('etcd', 'Starting');
  await set('etcd', '');
  await set('kube.apiserver', 'Preparing');
  await set('kube.apiserver', 'Starting');
  await set('PKIReady', '');
  await set('NodeReady', 'NotRegistered');
  await set('NodeReady', '');
  t.same(criticalPath(boot.steps).slice(-3), ['etcd', 'APIServerAnswers', 'NodeReady']);
});

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
  t.same(
    apiserver.waits.map(({ name }) => name),
    ['etcd', 'PKIReady'],
  );
  for (const { sinceMs, untilMs } of apiserver.waits) t.ok((untilMs ?? 0) > sinceMs);
  t.equal(apiserver.waits[0]?.sinceMs, apiserver.seenMs);
  t.ok(
    (apiserver.waits[1]?.sinceMs ?? 0) >= (apiserver.waits[0]?.untilMs ?? Infinity),
    'one after the other',
  );
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

void t.test(
  'the kubelet waits for a port and for images, and not for an API server that is ready',
  async (t) => {
    const { boot, set, step } = start();
    await set('PKIReady', '');
    await set('kube.apiserver', 'Waiting', ['etcd']);
    await set('kube.kubelet', 'Waiting', ['kube.apiserver', 'containerd']);
    await set('kube.apiserver', 'Preparing');
    await set('kube.kubelet', 'Waiting', ['containerd']);
    await set('kube.apiserver', 'Starting');
    await set('containerd', '');
    await set('kube.kubelet', 'Preparing', ['ImagesImported', 'APIServerListens']);
    await set('kube.kubelet', 'Preparing', ['APIServerListens']);
    t.equal(step('APIServerListens').doneMs, null);
    t.not(step('ImagesImported').doneMs, null);
    await set('kube.kubelet', 'Starting');
    await set('NodeReady', 'NotRegistered');
    t.same(criticalPath(boot.steps).slice(-1), ['NodeReady']);
    await set('kube.apiserver', '');
    await set('kube.kubelet', '');
    await set('NodeReady', '');

    t.same(criticalPath(boot.steps), ['PKIReady', 'APIServerListens', 'kube.kubelet', 'NodeReady']);
    const { seenMs, executedMs, waits } = step('kube.kubelet');
    const wait = (name: string) => {
      const { sinceMs = NaN, untilMs } = waits.find((one) => one.name === name) ?? {};
      return (untilMs ?? NaN) - sinceMs;
    };
    t.ok(wait('kube.apiserver') < wait('containerd'), 'each for itself');
    t.ok(wait('ImagesImported') < wait('APIServerListens'));
    t.ok(wait('containerd') + wait('APIServerListens') <= (executedMs ?? 0) - seenMs);
    t.ok(step('APIServerListens').beganMs === step('kube.apiserver').executedMs);
  },
);

void t.test('a wait inside of a thread is over when what is waited for is done', async (t) => {
  const { set, step } = start();
  await set('PKIReady', 'WaitingForEtcd', [], 'unknown');
  t.equal(step('PKIReady').waits.find(({ name }) => name === 'etcd')?.untilMs, null);
  await set('etcd', '');
  const wait = step('PKIReady').waits.find(({ name }) => name === 'etcd');
  t.equal(wait?.sinceMs, step('PKIReady').seenMs);
  t.equal(wait?.untilMs, step('etcd').doneMs);
});

void t.test('the path goes over what was done last', (t) => {
  const step = (
    name: string,
    doneMs: number | null,
    waitsFor: string[] = [],
    times: { beganMs?: number; executedMs?: number; untilMs?: number } = {},
  ) => ({
    name,
    waits: waitsFor.map((other) => ({ name: other, sinceMs: 0, untilMs: times.untilMs ?? doneMs })),
    seenMs: 0,
    beganMs: times.beganMs ?? null,
    executedMs: times.executedMs ?? null,
    doneMs,
  });
  const steps = [
    step('hamlet', 1),
    step('etcd', 50, ['hamlet']),
    step('containerd', 70, ['hamlet']),
    step('kube.apiserver', 300, ['etcd', 'PKIReady']),
    step('PKIReady', 90, ['etcd']),
    step('NodeReady', 400, ['kube.apiserver', 'containerd', 'kube.proxy']),
    step('kube.proxy', 500, ['kube.apiserver']),
  ];
  t.same(criticalPath(steps), ['hamlet', 'etcd', 'PKIReady', 'kube.apiserver', 'NodeReady']);

  const kubelet = step('kube.kubelet', 350, ['containerd', 'kube.apiserver'], { executedMs: 200 });
  const last = step('NodeReady', 400, ['kube.kubelet']);
  t.same(
    criticalPath([...steps.slice(0, 5), kubelet, last]),
    ['hamlet', 'containerd', 'kube.kubelet', 'NodeReady'],
    'what was done after an execution cannot have held it up',
  );
  const thread = step('hamlet.logs', 100, ['etcd', 'PKIReady'], { beganMs: 60 });
  t.same(criticalPath([...steps.slice(0, 5), thread]), ['hamlet', 'etcd', 'hamlet.logs']);
  const running = step('kube.kubelet', null, ['containerd', 'kube.apiserver'], { executedMs: 200 });
  t.same(
    criticalPath([...steps.slice(0, 3), step('kube.apiserver', null), running]),
    ['hamlet', 'containerd', 'kube.kubelet'],
    'nor does it wait for anything any more',
  );
  const over = step('kube.kubelet', null, ['kube.apiserver'], { untilMs: 80 });
  t.same(criticalPath([step('kube.apiserver', null), over]), ['kube.kubelet'], 'a wait that is over is none');
  t.same(criticalPath([step('a', null, ['b']), step('b', null, ['a'])]), ['a', 'b'], 'a circle is no trap');
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
