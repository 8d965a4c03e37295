import t from 'tap';
import { deferred } from '../../../src/ipc/deferred.js';
import type { Condition } from '../../../src/ipc/services/host.js';
import { isAlive } from '../../../src/platform/process.js';
import type { Component } from '../../../src/workers/kubelet/component.js';
import { Host } from './supervised.js';

/** Everything that the board says from now on about one name. */
function follow(host: Host, name: string): Condition[] {
  const seen: Condition[] = [];
  void (async () => {
    for await (const { conditions, snapshot } of host.board.watch(new AbortController().signal)) {
      if (!snapshot) seen.push(...conditions.filter((condition) => condition.name === name));
    }
  })();
  return seen;
}

void t.test('components start when what they need is healthy, and stop in reverse order', async (t) => {
  const host = await Host.start(t);
  const { supervisor, states } = await host.supervise([
    host.component('kube.kubelet', ['kube.apiserver', 'containerd']),
    host.component('kube.apiserver', ['etcd']),
    host.component('etcd'),
    host.component('containerd'),
  ]);
  await host.healthy(['etcd', 'containerd', 'kube.apiserver', 'kube.kubelet']);
  t.same(host.log.slice(0, 2).sort(), ['start containerd', 'start etcd'], 'these two need nothing');
  t.same(host.log.slice(2), ['start kube.apiserver', 'start kube.kubelet']);
  t.same(host.board.get('etcd').message, 'healthy');
  t.same(
    states.filter((state) => state.startsWith('etcd ')),
    ['etcd starting', 'etcd healthy'],
  );

  t.same(await supervisor.stop(), [], 'none had to be killed');
  const stops = host.log.slice(4);
  t.equal(stops[0], 'stop kube.kubelet');
  t.ok(stops.indexOf('stop kube.apiserver') < stops.indexOf('stop etcd'));
  t.equal(stops.length, 4);
  t.match(host.board.get('kube.kubelet'), { status: 'false', reason: 'Stopped' });
});

void t.test('a component that ends is started again, however it ended', async (t) => {
  const host = await Host.start(t);
  await host.supervise([host.component('etcd'), host.component('containerd')]);
  await host.healthy(['etcd', 'containerd']);
  const seen = follow(host, 'etcd');
  host.children.signal('etcd', 'SIGKILL');
  await host.healthy(['etcd'], 2);
  t.match(seen[0], {
    status: 'false',
    reason: 'Killed',
    message: /^killed by SIGKILL; next try in 0\.[012]\d? s$/,
  });
  host.children.signal('etcd', 'SIGTERM');
  await host.healthy(['etcd'], 3);
  t.ok(seen.some(({ reason, message }) => reason === 'Exited' && message.startsWith('exited with code 0')));
  t.equal(host.child('containerd').run, 1, 'its sibling never noticed');
});

void t.test('the history tells what ended, what of it ended others, and how they came back', async (t) => {
  const host = await Host.start(t);
  await host.supervise([host.component('etcd'), host.component('kube.apiserver', ['etcd'])]);
  await host.healthy(['etcd', 'kube.apiserver']);
  const [etcd, apiserver] = [host.child('etcd'), host.child('kube.apiserver')];
  host.children.signal('etcd', 'SIGKILL');
  await host.until('the end of etcd', () => host.child('etcd').exit !== null);
  host.children.signal('kube.apiserver', 'SIGTERM');
  await host.until('both back', () => {
    const all = host.history.list('', 0);
    return all.length === 2 && all.every(({ healthyMs }) => healthyMs !== null);
  });
  const [first, second] = host.history.list('', 0);
  t.match(first, { name: 'etcd', run: 1, pid: etcd.pid, kind: 'killed', signal: 'SIGKILL', code: null });
  t.match(second, {
    name: 'kube.apiserver',
    pid: apiserver.pid,
    kind: 'exited',
    code: 0,
    causeId: first?.id,
  });
  t.same(host.history.tookWith(first?.id ?? 0), ['kube.apiserver']);
  t.same(first?.lastLines, ['last words'], 'only those of the run that ended');
  for (const { atMs, executedMs, healthyMs } of [first, second].flatMap((one) => one ?? [])) {
    t.ok(atMs <= (executedMs ?? 0) && (executedMs ?? 0) <= (healthyMs ?? 0));
  }
});

void t.test('a component that hangs is noticed, ended and started again', async (t) => {
  const host = await Host.start(t);
  await host.supervise([
    host.component('etcd', [], { probeTimeoutMs: 100 }),
    host.component('kube.apiserver', ['etcd']),
  ]);
  await host.healthy(['etcd', 'kube.apiserver']);
  const { pid, startTicks } = host.child('etcd');
  const seen = follow(host, 'etcd');
  process.kill(pid, 'SIGSTOP');
  await host.healthy(['etcd'], 2);
  t.notOk(isAlive(pid, startTicks));
  t.match(
    seen.find(({ reason }) => reason === 'ProbeFailed'),
    { message: /^stopped answering: .*not within 100 ms/ },
  );
  t.ok(host.log.includes('stop etcd'), 'it was let go on to stop by itself');
  t.equal(host.child('kube.apiserver').run, 1, 'what needs it is left alone');
});

void t.test('what does not heed SIGTERM is killed and named', async (t) => {
  const host = await Host.start(t);
  const { supervisor } = await host.supervise([
    host.component('etcd'),
    host.component('kube.apiserver', ['etcd'], { onTerm: ':', stopPatienceMs: 200 }),
  ]);
  await host.healthy(['etcd', 'kube.apiserver']);
  t.same(await supervisor.stop(), ['kube.apiserver']);
  t.match(host.child('kube.apiserver').exit, { signal: 'SIGKILL' });
  t.match(host.child('etcd').exit, { code: 0 });
});

void t.test('one that was killed for a hang long ago is not named at the stop', async (t) => {
  const host = await Host.start(t);
  const stubborn = host.component('etcd', [], { onTerm: ':', stopPatienceMs: 100, probeTimeoutMs: 100 });
  const { supervisor } = await host.supervise([stubborn, host.component('containerd')]);
  await host.healthy(['etcd']);
  process.kill(host.child('etcd').pid, 'SIGSTOP');
  await host.healthy(['etcd', 'containerd'], 1);
  await host.until('a second run', () => host.child('etcd').run === 2);
  host.children.signal('etcd', 'SIGKILL');
  await host.until('the end of it', () => host.child('etcd').exit !== null);
  t.same(await supervisor.stop(), []);
});

void t.test('a program that cannot be executed is told apart, and tried again', async (t) => {
  const host = await Host.start(t);
  const argv = ['/no/such/program'] as const;
  const { supervisor } = await host.supervise([
    host.component('etcd', [], { command: () => ({ argv, cwd: host.folder }) }),
    host.component('kube.apiserver', ['etcd']),
  ]);
  await host.until('the report', () => host.board.get('etcd').reason === 'ProgramMissing');
  t.match(
    host.board.get('etcd').message,
    /^could not be started: there is no program \/no\/such\/program; next try/,
  );
  t.match(host.board.get('kube.apiserver'), { reason: 'Waiting', message: 'waits for etcd' });
  t.match(host.history.list('etcd', 1), [{ kind: 'program-missing', run: 0, pid: 0 }]);
  t.same(await supervisor.stop(), [], 'and a stop need not wait for it');
});

void t.test('a start that fails in its preparation is told, and tried again', async (t) => {
  const host = await Host.start(t);
  let tries = 0;
  const prepare = () => {
    tries += 1;
    if (tries < 3) throw new Error(`the disk is full (${tries})`);
  };
  await host.supervise([host.component('etcd', [], { prepare })]);
  const seen = follow(host, 'etcd');
  await host.healthy(['etcd']);
  t.ok(seen.some(({ reason, message }) => reason === 'Error' && message.startsWith('the disk is full (2)')));
  t.equal(host.child('etcd').run, 1);
});

void t.test('a start that is being prepared says what it waits for, until it has that', async (t) => {
  const host = await Host.start(t);
  const images = deferred<undefined>();
  const port = deferred<undefined>();
  const prepare: Component['prepare'] = async (_signal, waitingFor) => {
    await Promise.all([waitingFor('Images', images.promise), waitingFor('Port', port.promise)]);
  };
  await host.supervise([host.component('etcd', [], { prepare })]);
  const waits = (...names: string[]) =>
    host.until(`a wait for ${names.join()}`, () => host.board.get('etcd').waitsFor?.join() === names.join());
  await waits('Images', 'Port');
  t.match(host.board.get('etcd'), {
    reason: 'Preparing',
    message: 'its start is being prepared, and waits for Images, Port',
  });
  images.resolve(undefined);
  await waits('Port');
  port.resolve(undefined);
  await host.healthy(['etcd']);
  t.same(host.board.get('etcd').waitsFor, []);
});

void t.test('one that never gets ready is ended', async (t) => {
  const host = await Host.start(t);
  const probe = async () => {
    throw new Error('no leader yet');
  };
  await host.supervise([host.component('etcd', [], { probe, startTimeoutMs: 300 })]);
  await host.until('the report', () => host.board.get('etcd').reason === 'StartTimeout');
  t.match(host.board.get('etcd').message, /^did not become ready: no leader yet; next try/);
  t.match(host.log, ['start etcd', 'stop etcd']);
});
