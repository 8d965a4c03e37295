import { readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { readTable } from '../../../src/host/children-table.js';
import { isAlive } from '../../../src/platform/process.js';
import { script } from '../../unit/host/children-fixture.js';
import { Host, type ScriptOptions } from './supervised.js';

/** Two components, and how often each was prepared for a start. */
function pair(host: Host, options: ScriptOptions = {}) {
  const prepared: string[] = [];
  const prepare = (name: string) => () => void prepared.push(name);
  const components = [
    host.component('etcd', [], { prepare: prepare('etcd'), ...options }),
    host.component('kube.apiserver', ['etcd'], { prepare: prepare('kube.apiserver') }),
  ];
  return { components, prepared };
}

const both = ['etcd', 'kube.apiserver'];

void t.test('a new supervisor goes on with what runs', async (t) => {
  const host = await Host.start(t);
  await host.supervise(pair(host).components);
  await host.healthy(both);
  const before = host.children.all.map(({ name, pid, startTicks }) => ({ name, pid, startTicks }));

  const { components, prepared } = pair(host, { probeTimeoutMs: 100 });
  const { supervisor, states } = await host.supervise(components);
  await host.until('both taken over', () => states.filter((state) => state.endsWith('healthy')).length === 2);
  t.same(prepared, [], 'nothing is prepared anew under a running component');
  t.match(host.children.all, before);

  process.kill(host.child('etcd').pid, 'SIGSTOP');
  await host.healthy(['etcd'], 2);
  t.same(prepared, ['etcd'], 'and it is watched from now on');
  t.same(await supervisor.stop(), []);
  for (const { pid, startTicks } of before) t.notOk(isAlive(pid, startTicks));
});

void t.test('what has ended in between is started again, and nothing else', async (t) => {
  const host = await Host.start(t);
  await host.supervise(pair(host).components);
  await host.healthy(both);
  await host.supervise([]);
  host.children.signal('etcd', 'SIGKILL');
  await host.until('its end', () => host.child('etcd').exit !== null);

  const { components, prepared } = pair(host);
  await host.supervise(components);
  await host.healthy(['etcd'], 2);
  t.same(prepared, ['etcd']);
  t.same(
    host.children.all.map(({ name, run }) => `${name} ${run}`),
    ['etcd 2', 'kube.apiserver 1'],
  );
  await host.until('its record', () => host.history.list('', 0).some(({ healthyMs }) => healthyMs !== null));
  const { run, kind, signal, lastLines } = host.history.list('', 0)[0] ?? {};
  t.match(
    { run, kind, signal, lastLines },
    { run: 1, kind: 'killed', signal: 'SIGKILL', lastLines: ['last words'] },
  );
  t.equal(host.history.list('', 0).length, 1);
});

void t.test('several that have ended in between are each on record, once', async (t) => {
  const host = await Host.start(t);
  await host.supervise(pair(host).components);
  await host.healthy(both);
  await host.supervise([]);
  for (const name of both) host.children.signal(name, 'SIGKILL');
  await host.until('their ends', () => both.every((name) => host.child(name).exit !== null));

  // Each of these finds them ended; the first writes it down and goes before they are back.
  const never = (signal: AbortSignal) =>
    new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  await host.supervise(pair(host, { prepare: never }).components);
  await host.until('their records', () => host.history.list('', 0).length === 2);
  await host.supervise(pair(host).components);
  await host.healthy(both, 2);
  const isBack = () => host.history.list('', 0).every(({ healthyMs }) => healthyMs !== null);
  await host.until('their return', isBack);
  const all = host.history.list('', 0);
  t.same(all.map(({ name, run }) => `${name} ${run}`).sort(), ['etcd 1', 'kube.apiserver 1']);
});

void t.test('what was being ended when its supervisor went is on record with how that went', async (t) => {
  const host = await Host.start(t);
  const deaf: ScriptOptions = { onTerm: ':', probeTimeoutMs: 100, stopPatienceMs: 20_000 };
  await host.supervise(pair(host, deaf).components);
  await host.healthy(both);
  process.kill(host.child('etcd').pid, 'SIGSTOP');
  await host.until('the record', () => host.history.list('etcd', 0).length === 1);
  await host.supervise([]);
  host.children.signal('etcd', 'SIGKILL');
  await host.until('its end', () => host.child('etcd').exit !== null);

  await host.supervise(pair(host).components);
  await host.healthy(['etcd'], 2);
  await host.until('its return', () =>
    host.history.list('etcd', 0).every(({ healthyMs }) => healthyMs !== null),
  );
  t.match(host.history.list('etcd', 0), [{ kind: 'probe-failed', run: 1, signal: 'SIGKILL' }]);
  t.equal(host.history.list('etcd', 0).length, 1);
});

void t.test('what an ordered stop has ended is no failure for the next run', async (t) => {
  const host = await Host.start(t);
  const { supervisor } = await host.supervise(pair(host).components);
  await host.healthy(both);
  await supervisor.stop();
  t.same(
    readTable(path.join(host.folder, 'children.json'))
      .map(({ name }) => name)
      .sort(),
    both,
  );
  await host.children.endAll(both, AbortSignal.timeout(1_000));
  t.same(readTable(path.join(host.folder, 'children.json')), []);
});

void t.test('what runs with other settings than it should is started again, and nothing else', async (t) => {
  const host = await Host.start(t);
  await host.supervise(pair(host).components);
  await host.healthy(both);
  const command = host.component('etcd').command();
  const files = [{ path: path.join(host.folder, 'etcd', 'settings.json'), text: '{}', mode: 0o640 }];
  await host.supervise(pair(host, { command: () => ({ ...command, files }) }).components);
  await host.healthy(['etcd'], 2);
  t.match(host.log, ['start etcd', 'start kube.apiserver', 'stop etcd', 'start etcd']);
  t.equal(readFileSync(files[0]?.path ?? '', 'utf8'), '{}', 'its new settings are in place');
  t.equal(host.child('kube.apiserver').run, 1);
});

void t.test('a first start waits for nobody where credentials are kept, a second one does', async (t) => {
  const host = await Host.start(t);
  host.kept.keep('etcd', [{ name: 'kubeconfig', data: Buffer.from('kept') }]);
  const { components } = pair(host, { credentials: 'state', keepsCredentials: true });
  await host.supervise(components);
  await host.healthy(both);
  t.equal(readFileSync(path.join(host.folder, 'pki', 'kubeconfig'), 'utf8'), 'kept');
  host.children.signal('etcd', 'SIGKILL');
  // Nobody serves the PKI here.
  await host.until('a start that fails', () => host.board.get('etcd').message.includes('certs'));
  t.equal(host.child('etcd').run, 1);
});

void t.test(
  'one that has to have new credentials is ended and started again, and on record with that',
  async (t) => {
    const host = await Host.start(t);
    const { supervisor } = await host.supervise(pair(host).components);
    await host.healthy(both);
    supervisor.restart('kube.apiserver');
    await host.healthy(both, 1);
    await host.healthy(['kube.apiserver'], 2);
    t.equal(host.child('etcd').run, 1);
    const isOver = () => host.history.list('', 0).some(({ healthyMs }) => healthyMs !== null);
    await host.until('the end of the restart', isOver);
    t.match(host.history.list('', 0), [
      {
        name: 'kube.apiserver',
        run: 1,
        kind: 'outdated',
        message: 'runs with other credentials than it should',
      },
    ]);
  },
);

void t.test('what hangs already when it is taken over is started again', async (t) => {
  const host = await Host.start(t);
  await host.supervise(pair(host).components);
  await host.healthy(both);
  await host.supervise([]);
  process.kill(host.child('etcd').pid, 'SIGSTOP');
  await host.supervise(pair(host, { startTimeoutMs: 300, probeTimeoutMs: 100 }).components);
  await host.until('a second run', () => host.child('etcd').run === 2);
  await host.healthy(both);
  t.equal(host.child('kube.apiserver').run, 1);
});

void t.test('a stop that comes before the supervisor knows what runs ends it all the same', async (t) => {
  const host = await Host.start(t);
  await host.supervise(pair(host).components);
  await host.healthy(both);
  const { supervisor } = await host.supervise(pair(host).components);
  t.same(await supervisor.stop(), []);
  t.match(host.log.slice(2), ['stop kube.apiserver', 'stop etcd']);
});

void t.test('a start that was under way when its supervisor went is made once', async (t) => {
  const host = await Host.start(t);
  let preparing = 0;
  const prepare = (signal: AbortSignal) =>
    new Promise<void>((_, reject) => {
      preparing += 1;
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  await host.supervise([host.component('etcd', [], { prepare })]);
  await host.until('the preparation', () => preparing === 1);
  await host.supervise([host.component('etcd')]);
  await host.healthy(['etcd']);
  t.equal(host.child('etcd').run, 1);
  t.same(host.log, ['start etcd']);
});

void t.test('a child that nobody told of is found when its start is asked for', async (t) => {
  const host = await Host.start(t);
  // As if the answer to a start had been lost.
  const prepare = async () => {
    const { argv, cwd, env = {} } = host.component('etcd').command();
    if (host.children.all.length === 0) {
      await host.children.spawn(script('etcd', '', { argv: [...argv], cwd, env: { ...env } }));
    }
  };
  const { supervisor } = await host.supervise([host.component('etcd', [], { prepare })]);
  await host.healthy(['etcd']);
  t.equal(host.child('etcd').run, 1);
  host.children.signal('etcd', 'SIGKILL');
  await host.healthy(['etcd'], 2);
  await supervisor.stop();
});

void t.test('a stop gives up a start that is being prepared', async (t) => {
  const host = await Host.start(t);
  let aborted = false;
  const prepare = (signal: AbortSignal) =>
    new Promise<void>((_, reject) =>
      signal.addEventListener('abort', () => {
        aborted = true;
        reject(signal.reason);
      }),
    );
  const { supervisor } = await host.supervise([
    host.component('etcd'),
    host.component('kube.apiserver', ['etcd'], { prepare }),
  ]);
  await host.healthy(['etcd']);
  await host.until('its turn', () => host.board.get('kube.apiserver').reason === 'Preparing');
  t.same(await supervisor.stop(), []);
  t.ok(aborted);
  t.same(host.log, ['start etcd', 'stop etcd']);
});
