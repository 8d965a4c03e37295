import { execFile } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { BootTimeline } from '../../../src/host/boot.js';
import { ConditionBoard } from '../../../src/host/conditions.js';
import { History } from '../../../src/host/history.js';
import { Secrets } from '../../../src/host/secrets.js';
import { hostHandlers } from '../../../src/host/service.js';
import type { CallContext } from '../../../src/ipc/contract.js';
import type { Components } from '../../../src/platform/components.js';
import { never, script, startChildren, waitFor } from './children-fixture.js';

const called: CallContext = { source: 'kubelet', signal: never };

function handlers(t: Test, components?: Components, verified = async () => {}) {
  const { children, folder } = startChildren(t);
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  symlinkSync('/bin/sh', path.join(bin, 'sh'));
  const board = new ConditionBoard(['etcd'], 0);
  const secrets = new Secrets(path.join(folder, 'secrets'));
  const history = new History(path.join(folder, 'restarts.jsonl'));
  const boot = new BootTimeline(board, never);
  const parts = { children, secrets, board, history, boot, bin, components: () => components, verified };
  return { ...hostHandlers(parts), bin, board };
}

void t.test('a command runs to its end and gives what it wrote', async (t) => {
  const { run, bin } = handlers(t);
  const sh = (text: string, env = {}) => run({ argv: ['sh', '-c', text], env }, called);
  t.same(await sh('echo out; echo err >&2'), { code: 0, signal: null, output: 'out\nerr\n' });
  t.same(await sh('exit 3'), { code: 3, signal: null, output: '' });
  t.same(await sh('kill -9 $$'), { code: null, signal: 'SIGKILL', output: '' });
  t.same(await sh('echo $PATH $GREETING $HOME', { GREETING: 'hello' }), {
    code: 0,
    signal: null,
    output: `${bin} hello\n`,
  });
});

void t.test('only the end of a long output is kept', async (t) => {
  const { run } = handlers(t);
  const { code, output } = await run(
    { argv: ['sh', '-c', 'i=0; while [ $i -lt 9000 ]; do echo line $i; i=$((i+1)); done'], env: {} },
    called,
  );
  t.equal(code, 0);
  t.equal(output.length, 64 * 1024);
  t.ok(output.endsWith('line 8999\n'));
});

void t.test('a command that is not there is NOT_FOUND', async (t) => {
  const { run } = handlers(t);
  await t.rejects(async () => run({ argv: ['ctr'], env: {} }, called), { code: 'NOT_FOUND', message: /ctr/ });
});

void t.test('a command ends when its caller goes away', async (t) => {
  const { run, bin } = handlers(t);
  symlinkSync('/bin/sleep', path.join(bin, 'sleep'));
  const stop = new AbortController();
  const running = Promise.resolve(
    run({ argv: ['sleep', '60'], env: {} }, { ...called, signal: stop.signal }),
  );
  stop.abort(new Error('gone away'));
  await t.rejects(running, { message: 'gone away' });
});

void t.test('children and conditions are reached through it', async (t) => {
  const { spawn, signal, children, setConditions, condition, conditions } = handlers(t);
  const child = await spawn(script('etcd', 'sleep 60'), called);
  t.match(child, { name: 'etcd', run: 1 });
  t.same(await signal({ name: 'etcd', signal: 'SIGKILL' }, called), {});
  let end: unknown;
  void (async () => {
    for await (const { children: news } of children({}, called))
      end = news.find(({ exit }) => exit !== null)?.exit;
  })();
  t.match(await waitFor('its end', () => end), { signal: 'SIGKILL' });
  const update = { name: 'etcd', status: 'true', reason: '', message: 'healthy' } as const;
  await setConditions({ conditions: [update] }, called);
  t.match(await condition({ name: 'etcd' }, called), update);
  for await (const news of conditions({}, called)) {
    t.match(news, { snapshot: true, conditions: [update] });
    break;
  }
});

void t.test('kubectl is there when the components have been found', async (t) => {
  await t.rejects(async () => handlers(t).kubectl({}, called), { code: 'UNAVAILABLE' });
  const components = { kube: { kind: 'multicall', path: '/opt/kube' } } as unknown as Components;
  t.same(await handlers(t, components).kubectl({}, called), { command: ['/opt/kube', 'kubectl'] });
});

void t.test('what was built here does not run before it is checked', async (t) => {
  const components = { etcd: '/bin/true', kube: { kind: 'multicall', path: '/opt/kube' } };
  let pass: (() => void) | undefined;
  const checked = new Promise<void>((resolve) => (pass = resolve));
  const { run, kubectl, spawn } = handlers(t, components as unknown as Components, () => checked);
  const request = { env: {}, cwd: '/', secrets: [], stale: [], digest: '', name: 'etcd' };
  t.match(await spawn({ ...request, argv: ['/bin/true'] }, called), { name: 'etcd' }, 'etcd needs no check');

  const order: string[] = [];
  const note = (what: string) => () => order.push(what);
  const waiting = [
    Promise.resolve(run({ argv: ['sh', '-c', 'true'], env: {} }, called)).then(note('run')),
    Promise.resolve(kubectl({}, called)).then(note('kubectl')),
    Promise.resolve(
      spawn({ ...request, name: 'kube.apiserver', argv: ['/bin/sh', '-c', 'true'] }, called),
    ).then(note('spawn')),
  ];
  // Long enough for each of them, if it did not wait: a whole command has been started and has ended meanwhile.
  await promisify(execFile)('sh', ['-c', 'true']);
  note('checked')();
  pass?.();
  await Promise.all(waiting);
  t.equal(order[0], 'checked');
  t.equal(order.length, 4);
});
