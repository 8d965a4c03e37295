import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { Children } from '../../../src/host/children.js';
import type { ChildNews } from '../../../src/host/children-options.js';
import type { SpawnRequest } from '../../../src/ipc/services/host.js';
import { isAlive, sendSignal } from '../../../src/platform/process.js';
import {
  ended,
  FileOutputs,
  line,
  never,
  optionsIn,
  script,
  startChildren,
  waitFor,
} from './children-fixture.js';

/** Beside the test's own folder, which is the children's. */
async function temporaryFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'hamlet-standing-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A running child, and what is told of it from then on. */
async function running(t: Test, text = 'echo runs; sleep 60', overrides: Partial<SpawnRequest> = {}) {
  const { children, folder } = startChildren(t);
  const request = script('a', text, overrides);
  const first = await children.spawn(request);
  const abort = new AbortController();
  const news: ChildNews[] = [];
  const told = (async () => {
    for await (const change of children.watch(abort.signal)) news.push(change);
  })();
  t.teardown(async () => {
    abort.abort();
    await told;
  });
  await waitFor('the snapshot', () => news[0]);
  return { children, request, first, news, folder, signal: abort.signal };
}

void t.test(
  'what has a start in advance is started again at its end, and both are told at once',
  async (t) => {
    const { children, request, first, news, signal } = await running(t);
    const held = children.standingStart({ ...request, secrets: [] }, signal);
    sendSignal(first.pid, 'SIGKILL');
    await held;
    const change = await waitFor('the change', () => news[1]);
    const [dead, next, ...others] = change.children;
    t.match(dead, { pid: first.pid, run: 1, exit: { signal: 'SIGKILL', code: null } });
    t.match(next, { run: 2, exit: null, digest: first.digest });
    t.same(others, []);
    t.ok(isAlive(next?.pid ?? 0, next?.startTicks ?? 0));

    sendSignal(next?.pid ?? 0, 'SIGKILL');
    t.match(
      await ended(children, 'a'),
      { run: 2, exit: { signal: 'SIGKILL' } },
      'a start in advance is one start',
    );
  },
);

void t.test('it does not wait until the last lines are read', async (t) => {
  const folder = await temporaryFolder(t);
  const outputs = new FileOutputs(folder);
  const adopted: unknown[] = [];
  const unread = new Promise<boolean>(() => undefined);
  outputs.endRun = () => unread;
  outputs.adopt = (...given) => adopted.push(given);
  const children = new Children({ ...optionsIn(folder), outputs });
  t.teardown(() => children.endAll(['a'], never));
  const request = script('a', 'sleep 60');
  const first = await children.spawn(request);
  const held = children.standingStart({ ...request, secrets: [] }, never);
  sendSignal(first.pid, 'SIGKILL');
  await held;
  t.match(children.all, [{ run: 2, exit: null }]);
  t.same(adopted.at(-1), ['a', 2, unread]);
});

void t.test('files that its predecessor leaves are gone before it starts', async (t) => {
  const stale = path.join(await temporaryFolder(t), 'socket');
  const text = `[ -e ${stale} ] && exit 7; echo it is there > ${stale}; sleep 60`;
  const { children, request, first, signal } = await running(t, text, { stale: [stale] });
  void children.standingStart(request, signal);
  await waitFor('the file', () => (existsSync(stale) && readFileSync(stale, 'utf8') !== '') || undefined);
  sendSignal(first.pid, 'SIGKILL');
  const next = await waitFor('the next', () =>
    children.all.find(({ run, exit }) => run === 2 && exit === null),
  );
  await waitFor('its own file', () => (existsSync(stale) && readFileSync(stale, 'utf8') !== '') || undefined);
  t.ok(isAlive(next.pid, next.startTicks));
});

void t.test('who is told to end does not come back', async (t) => {
  const { children, request, signal } = await running(t);
  const held = children.standingStart(request, signal);
  children.signal('a', 'SIGTERM');
  await held;
  t.match(await ended(children, 'a'), { run: 1, exit: { signal: 'SIGTERM' } });
});

void t.test('a start that is not wanted any more is not made', async (t) => {
  const { children, request, first } = await running(t);
  const abort = new AbortController();
  const held = children.standingStart(request, abort.signal);
  abort.abort();
  await held;
  sendSignal(first.pid, 'SIGKILL');
  t.match(await ended(children, 'a'), { run: 1 });
});

void t.test('of two, the later one holds', async (t) => {
  const { children, request, first, signal } = await running(t);
  const abort = new AbortController();
  const earlier = children.standingStart(request, abort.signal);
  void children.standingStart(request, signal);
  await earlier;
  abort.abort();
  sendSignal(first.pid, 'SIGKILL');
  t.ok(await waitFor('the next', () => children.all.find(({ run, exit }) => run === 2 && exit === null)));
});

void t.test('what cannot be executed any more has just ended', async (t) => {
  const program = path.join(await temporaryFolder(t), 'program');
  writeFileSync(program, '#!/bin/sh\nsleep 60\n', { mode: 0o755 });
  const { children, request, first, news, signal } = await running(t, '', { argv: [program] });
  void children.standingStart(request, signal);
  rmSync(program);
  sendSignal(-first.pid, 'SIGKILL');
  const change = await waitFor('the change', () => news[1]);
  t.match(change.children, [{ run: 1, exit: { signal: 'SIGKILL' } }]);
  t.equal(change.children.length, 1);
  await t.rejects(children.spawn(request), { code: 'NOT_FOUND', message: `there is no program ${program}` });
});

void t.test('at the end of everything nothing comes back', async (t) => {
  const { children, request, signal } = await running(t);
  const held = children.standingStart(request, signal);
  await children.endAll(['a'], never);
  await held;
  t.match(await ended(children, 'a'), { run: 1, exit: { signal: 'SIGTERM' } });
});

void t.test('only what runs, and as it runs, can have one', async (t) => {
  const { children, request, signal } = await running(t);
  await t.rejects(children.standingStart({ ...request, name: 'b' }, signal), {
    code: 'NOT_FOUND',
    message: 'b does not run',
  });
  await t.rejects(children.standingStart({ ...request, digest: 'other' }, signal), {
    code: 'FAILED_PRECONDITION',
    message: 'a was started with other settings',
  });
});

void t.test('its lines belong to its own run', async (t) => {
  const { children, request, first, folder, signal } = await running(t, 'echo $$; sleep 60');
  void children.standingStart(request, signal);
  sendSignal(first.pid, 'SIGKILL');
  const next = await waitFor('the next', () =>
    children.all.find(({ run, exit }) => run === 2 && exit === null),
  );
  t.equal(await line(folder, 'a.2.out'), String(next.pid));
});
