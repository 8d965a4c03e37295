import { readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { Children } from '../../../src/host/children.js';
import type { ChildNews } from '../../../src/host/children-options.js';
import { readTable } from '../../../src/host/children-table.js';
import type { Log } from '../../../src/lib/log.js';
import { stopPatienceMs } from '../../../src/platform/stop-patience.js';
import { isAlive, startTicksOf } from '../../../src/platform/process.js';
import { ended, gone, line, never, script, startChildren, waitFor } from './children-fixture.js';

void t.test(
  'a child runs in a group of its own, with just the folder and environment it was given',
  async (t) => {
    const { folder, children, table } = startChildren(t);
    const child = await children.spawn(
      script(
        'a',
        'echo $$ $(ps -o pgid= -p $$) $PWD "$(env | grep -c .)" "$GREETING"; echo oops >&2; sleep 60',
        {
          env: { PATH: '/bin:/usr/bin', GREETING: 'hello' },
          cwd: '/usr',
        },
      ),
    );
    t.match(child, { name: 'a', run: 1, exit: null, startTicks: startTicksOf(child.pid) });
    t.match(child.digest, /^echo /, 'what its caller knows it by');
    const [pid, group, cwd, , greeting] = (await line(folder, 'a.1.out')).split(' ');
    t.same([Number(pid), Number(group)], [child.pid, child.pid]);
    t.same([cwd, greeting], ['/usr', 'hello']);
    t.equal(await line(folder, 'a.1.err'), 'oops');
    t.notOk(readFileSync(`/proc/${child.pid}/environ`, 'utf8').includes('HOME='), 'nothing of ours');
    t.same(readTable(table), [child], 'it is on the disk as soon as it runs');
  },
);

void t.test('exit codes and signals are told apart, and runs are counted', async (t) => {
  const { children, table } = startChildren(t);
  const beforeMs = Date.now();
  await children.spawn(script('a', 'exit 3'));
  const first = await ended(children, 'a');
  t.match(first, { run: 1, exit: { code: 3, signal: null } });
  t.ok(first.exit.atMs >= beforeMs && first.exit.atMs <= Date.now());
  await children.spawn(script('a', 'kill -SEGV $$'));
  t.match(await ended(children, 'a'), { run: 2, exit: { code: null, signal: 'SIGSEGV' } });
  await children.spawn(script('a', 'exit 0'));
  t.match(await ended(children, 'a'), { run: 3, exit: { code: 0, signal: null } });
  t.same(readTable(table), children.all);
});

void t.test('one of a name runs at a time', async (t) => {
  const { children } = startChildren(t);
  const both = await Promise.allSettled([
    children.spawn(script('a', 'sleep 60')),
    children.spawn(script('a', 'sleep 60')),
  ]);
  t.match(both, [{ status: 'fulfilled' }, { reason: { code: 'ALREADY_EXISTS' } }]);
  const [{ pid } = { pid: 0 }] = children.all;
  await t.rejects(children.spawn(script('a', 'sleep 60')), {
    code: 'ALREADY_EXISTS',
    message: `a runs already, as process ${pid}`,
  });
  t.ok(await children.spawn(script('b', 'sleep 60')), 'another name does not matter');
});

void t.test('a signal reaches the whole group', async (t) => {
  const { folder, children } = startChildren(t);
  await children.spawn(script('a', 'sleep 60 & echo $!; wait'));
  const grandchild = Number(await line(folder, 'a.1.out'));
  t.ok(startTicksOf(grandchild));
  children.signal('a', 'SIGTERM');
  t.match(await ended(children, 'a'), { exit: { signal: 'SIGTERM' } });
  t.ok(await gone(grandchild));
});

void t.test('what a child has left behind ends with it', async (t) => {
  const { folder, children } = startChildren(t);
  await children.spawn(script('a', "trap '' TERM; sleep 60 & echo $!; exit 0"));
  const grandchild = Number(await line(folder, 'a.1.out'));
  t.match(await ended(children, 'a'), { exit: { code: 0 } });
  t.ok(await gone(grandchild));
});

void t.test('a stopped child heeds SIGTERM', async (t) => {
  const { folder, children } = startChildren(t);
  await children.spawn(script('a', "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"));
  await line(folder, 'a.1.out');
  const { pid = 0 } = children.all[0] ?? {};
  process.kill(pid, 'SIGSTOP');
  await waitFor('the stop', () => readFileSync(`/proc/${pid}/stat`, 'latin1').includes(' T ') || undefined);
  children.signal('a', 'SIGTERM');
  t.match(await ended(children, 'a'), { exit: { code: 7 } });
});

void t.test('a signal for what does not run is NOT_FOUND', async (t) => {
  const { children } = startChildren(t);
  t.throws(() => children.signal('a', 'SIGTERM'), { code: 'NOT_FOUND', message: 'a does not run' });
  await children.spawn(script('a', 'true'));
  await ended(children, 'a');
  t.throws(() => children.signal('a', 'SIGTERM'), { code: 'NOT_FOUND' });
});

void t.test('who watches gets the table, then every change of it', async (t) => {
  const { children } = startChildren(t);
  await children.spawn(script('early', 'true'));
  await ended(children, 'early');
  const stop = new AbortController();
  const news = follow(children, stop.signal);
  await waitFor('the snapshot', () => news.seen.length === 1 || undefined);
  await children.spawn(script('a', 'exit 1'));
  await ended(children, 'a');
  await children.spawn(script('a', 'exit 2'));
  await ended(children, 'a');
  await waitFor('the news', () => news.seen.length === 5 || undefined);
  t.match(news.seen, [
    { snapshot: true, children: [{ name: 'early', exit: { code: 0 } }] },
    { snapshot: false, children: [{ name: 'a', run: 1, exit: null }] },
    { snapshot: false, children: [{ name: 'a', run: 1, exit: { code: 1 } }] },
    { snapshot: false, children: [{ name: 'a', run: 2, exit: null }] },
    { snapshot: false, children: [{ name: 'a', run: 2, exit: { code: 2 } }] },
  ]);
  stop.abort();
  await news.done;
});

void t.test('everything is ended in the order that is asked for', async (t) => {
  const { children } = startChildren(t);
  const stubborn = await children.spawn(script('stubborn', "trap '' TERM; while :; do sleep 0.01; done"));
  await children.spawn(script('b', 'sleep 60'));
  const ends: string[] = [];
  const stop = new AbortController();
  const done = (async () => {
    for await (const { children: changed } of children.watch(stop.signal)) {
      for (const { name, exit } of changed) if (exit !== null) ends.push(name);
    }
  })();
  t.same(await children.endAll(['never-started', 'stubborn', 'b'], never), ['stubborn'], 'what was killed');
  await ended(children, 'b');
  t.notOk(isAlive(stubborn.pid, stubborn.startTicks));
  stop.abort();
  await done;
  t.same(ends, ['stubborn', 'b']);
});

void t.test('a table that cannot be written ends nothing', async (t) => {
  const told: unknown[] = [];
  const error = (fields: object, message?: string) => told.push({ ...fields, message });
  const log = { error } as unknown as Log;
  const { children } = startChildren(t, { log, file: path.join(t.testdir(), 'missing', 'children.json') });
  await children.spawn(script('a', 'exit 4'));
  t.match(await ended(children, 'a'), { exit: { code: 4 } });
  t.match(told, [{ err: { code: 'ENOENT' }, message: /^the table of children was not written/ }, {}]);
});

void t.test('each has the patience of its component', async (t) => {
  const endPatienceMs = (name: string) => (name === 'patient' ? stopPatienceMs('kube.apiserver') : 100);
  const { folder, children } = startChildren(t, { endPatienceMs });
  for (const name of ['patient', 'other']) {
    await children.spawn(
      script(name, "trap 'sleep 1; exit 0' TERM; echo ready; while :; do sleep 0.01; done"),
    );
    await line(folder, `${name}.1.out`);
  }
  t.same(await children.endAll(['patient', 'other'], never), ['other']);
  t.match(await ended(children, 'patient'), { exit: { code: 0 } });
  t.match(await ended(children, 'other'), { exit: { signal: 'SIGKILL' } });
  const [longest, usual] = [stopPatienceMs('kube.apiserver'), stopPatienceMs('etcd')];
  t.ok(longest > usual, 'the API server has requests under way');
});

function follow(children: Children, signal: AbortSignal): { seen: ChildNews[]; done: Promise<void> } {
  const seen: ChildNews[] = [];
  const done = (async () => {
    for await (const one of children.watch(signal)) seen.push(one);
  })();
  return { seen, done };
}
