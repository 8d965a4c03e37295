import t, { type Test } from 'tap';
import type { SpawnRequest } from '../../../src/ipc/services/host.js';
import { sendSignal } from '../../../src/platform/process.js';
import { healthyResetMs } from '../../../src/supervision/backoff.js';
import { Host } from './supervised.js';

/** Notes what the main thread is asked for. */
function observe({ children }: Host) {
  const standing: SpawnRequest[] = [];
  const spawned: string[] = [];
  const standingStart = children.standingStart.bind(children);
  const spawn = children.spawn.bind(children);
  children.standingStart = (request, signal) => {
    standing.push(request);
    return standingStart(request, signal);
  };
  children.spawn = (request) => {
    spawned.push(request.name);
    return spawn(request);
  };
  return { standing, spawned };
}

/** Has the monotonic clock go on by a healthy spell, in one step. */
function passHealthySpell(t: Test): void {
  const now = performance.now.bind(performance);
  performance.now = () => now() + healthyResetMs;
  t.teardown(() => (performance.now = now));
}

/** etcd, which needs nothing, and an API server, which does, after a healthy spell. */
async function afterHealthySpell(t: Test, onTerm = 'exit 0') {
  const host = await Host.start(t);
  const asked = observe(host);
  const components = [host.component('etcd'), host.component('kube.apiserver', ['etcd'], { onTerm })];
  const { supervisor } = await host.supervise(components);
  await host.healthy(['etcd', 'kube.apiserver']);
  passHealthySpell(t);
  await host.until('a start in advance', () => asked.standing.length > 0);
  return { host, supervisor, components, ...asked };
}

void t.test('what needs nothing is started at its very end after a healthy spell', async (t) => {
  const { host, standing, spawned } = await afterHealthySpell(t);
  sendSignal(host.child('etcd').pid, 'SIGKILL');
  await host.healthy(['etcd'], 2);
  t.same(spawned.filter((name) => name === 'etcd').length, 1, 'nobody had to ask for it');
  t.same(new Set(standing.map(({ name }) => name)), new Set(['etcd']), 'the API server needs etcd');
  await host.until('the history', () => host.history.list('etcd', 0)[0]?.healthyMs != null);
  t.match(host.history.list('etcd', 0), [{ run: 1, kind: 'killed', signal: 'SIGKILL' }]);
  t.equal(host.child('kube.apiserver').run, 1);

  sendSignal(host.child('etcd').pid, 'SIGKILL');
  await host.healthy(['etcd'], 3);
  t.equal(
    spawned.filter((name) => name === 'etcd').length,
    2,
    'the spell that counts is that of the last run',
  );
});

void t.test('what ends while everything is being stopped stays where it is', async (t) => {
  const { host, supervisor } = await afterHealthySpell(t, 'while [ ! -e go ]; do sleep 0.02; done; exit 0');
  const etcd = host.child('etcd');
  const stopped = supervisor.stop();
  await host.until('the stop', () => host.board.get('kube.apiserver').reason === 'Stopping');
  sendSignal(etcd.pid, 'SIGKILL');
  await host.until('the end of etcd', () => host.child('etcd').exit !== null);
  sendSignal(host.child('kube.apiserver').pid, 'SIGKILL');
  await stopped;
  t.equal(host.child('etcd').run, 1);
});

void t.test('what came back although the tree did not want it is ended', async (t) => {
  const { host, supervisor, standing } = await afterHealthySpell(t, 'while :; do sleep 0.02; done');
  const stopped = supervisor.stop();
  await host.until('the stop', () => host.board.get('kube.apiserver').reason === 'Stopping');
  // As if the word that it is not wanted any more had not come in time.
  const [request] = standing;
  if (request === undefined) throw new Error('there was no start in advance');
  void host.children.standingStart(request, new AbortController().signal);
  sendSignal(host.child('etcd').pid, 'SIGKILL');
  await host.until('the second end of etcd', () => {
    const { run, exit } = host.child('etcd');
    return run === 2 && exit !== null;
  });
  sendSignal(host.child('kube.apiserver').pid, 'SIGKILL');
  await stopped;
  t.equal(host.child('etcd').run, 2);
});

void t.test('what a supervisor asked for in advance is over with it', async (t) => {
  const { host, spawned, components } = await afterHealthySpell(t);
  await host.supervise(components);
  await host.healthy(['etcd']);
  sendSignal(host.child('etcd').pid, 'SIGKILL');
  await host.healthy(['etcd'], 2);
  t.equal(spawned.filter((name) => name === 'etcd').length, 2, 'the next one decides by itself');
});
