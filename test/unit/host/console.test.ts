import { mock } from 'node:test';
import t, { type Test } from 'tap';
import { ConditionBoard } from '../../../src/host/conditions.js';
import { ConsoleReport } from '../../../src/host/console.js';
import { HamletError } from '../../../src/lib/errors.js';
import { allConditionNames, componentNames, conditionNames } from '../../../src/lib/names.js';

const silenceMs = 5_000;

/** A report with a clock that only the test moves; lines come without their time. */
function startReport(t: Test) {
  mock.timers.enable({ apis: ['setTimeout'] });
  const board = new ConditionBoard(allConditionNames, 0);
  const stop = new AbortController();
  let text = '';
  const report = new ConsoleReport({ board, signal: stop.signal, write: (more) => (text += more) });
  t.teardown(() => {
    report.close();
    mock.timers.reset();
  });
  const set = (name: string, status: 'true' | 'false', reason = '', message = name) =>
    board.set({ name, status, reason, message }, 0);
  /** What has been written since the last call, without the seconds and the spaces between the columns. */
  const lines = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    const all = text.split('\n').filter((line) => line !== '');
    text = '';
    return all.map((line) => line.replace(/^ *[\d.]+ s {2}/, '').replaceAll(/ {2,}/g, ' '));
  };
  return { set, lines, stop, report, silence: () => mock.timers.tick(silenceMs) };
}

void t.test('each step that is done gets a line, what is on its way none', async (t) => {
  const { set, lines } = startReport(t);
  t.same(await lines(), [], 'that nothing is known yet is no news');
  set('etcd', 'false', 'Starting', 'starting');
  set('PKIReady', 'false', 'NoEtcd', 'waits for etcd');
  set('hamlet.certs', 'true');
  t.same(await lines(), []);
  set('etcd', 'true', '', 'healthy');
  set('etcd', 'true', '', 'healthy, but its probe fails: no answer');
  t.same(await lines(), ['ok etcd healthy']);
});

void t.test('what goes wrong gets a line, and so does its end', async (t) => {
  const { set, lines } = startReport(t);
  set('etcd', 'false', 'ExecFailed', 'could not be started');
  set('etcd', 'false', 'ExecFailed', 'could not be started; next try in 0.5 s');
  t.same(await lines(), ['!! etcd could not be started']);
  set('etcd', 'true', '', 'healthy');
  set('etcd', 'false', 'Killed', 'killed by SIGKILL');
  set('etcd', 'false', 'Starting', 'starting');
  set('etcd', 'true', '', 'healthy');
  t.same(await lines(), ['ok etcd healthy', '!! etcd killed by SIGKILL', 'ok etcd healthy']);
});

void t.test('when all of it holds, the next steps are told, once', async (t) => {
  const { set, lines, silence } = startReport(t);
  const all = [...componentNames, ...conditionNames].filter((name) => name !== 'kube.proxy');
  for (const name of all) set(name, 'true');
  const told = await lines();
  t.equal(told.filter((line) => line.startsWith('ok ')).length, all.length, 'kube-proxy was left out');
  t.equal(told.filter((line) => line.startsWith('The node is ready')).length, 1);
  silence();
  t.same(await lines(), [], 'then there may be silence');
  set('NodeReady', 'false', 'KubeletStopped', 'the kubelet is gone');
  set('NodeReady', 'true', '', 'ready');
  t.same(await lines(), ['!! NodeReady the kubelet is gone', 'ok NodeReady ready']);
});

void t.test('a rotation that goes on from before the start is not waited for', async (t) => {
  const { set, lines } = startReport(t);
  for (const name of [...componentNames, ...conditionNames]) {
    if (name !== 'AuthoritiesSettled') set(name, 'true');
  }
  set('AuthoritiesSettled', 'false', 'Settling', 'the new authorities sign');
  t.ok((await lines()).some((line) => line.startsWith('The node is ready')));
});

void t.test('after some silence a person is told what the node waits for', async (t) => {
  const { set, lines, silence } = startReport(t);
  const missing = ['IPAssigned', 'NodeReady'];
  for (const name of [...componentNames, ...conditionNames].filter((name) => !missing.includes(name))) {
    set(name, 'true');
  }
  set('IPAssigned', 'false', 'NoAddress', 'no address');
  set('NodeReady', 'false', 'Waiting', 'waits for IPAssigned');
  await lines();
  silence();
  t.same(await lines(), ['.. waits for IPAssigned (no address)']);
  silence();
  t.same(await lines(), ['.. waits for IPAssigned (no address)'], 'again and again');
});

void t.test('a stop is told step by step', async (t) => {
  const { set, lines, stop, silence, report } = startReport(t);
  for (const name of [...componentNames, ...conditionNames]) set(name, 'true');
  await lines();
  stop.abort(new HamletError('CANCELLED', 'stopped by SIGTERM'));
  t.same(await lines(), ['-- stopped by SIGTERM; a moment, please']);
  set('etcd', 'false', 'Stopping', 'stopping');
  set('NodeReady', 'false', 'KubeletStopped', 'the kubelet is gone');
  set('kube.kubelet', 'false', 'Stopped', 'stopped');
  t.same(await lines(), ['-- kube.kubelet stopped']);
  silence();
  t.same(await lines(), ['.. waits for etcd (stopping)']);
  report.close();
  set('etcd', 'false', 'Stopped', 'stopped');
  silence();
  t.same(await lines(), []);
});
