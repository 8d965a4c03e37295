import { spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { readTable, writeTable } from '../../../src/host/children-table.js';
import { recordKill } from '../../../src/host/kill-record.js';
import type { Child, SpawnRequest } from '../../../src/ipc/services/host.js';
import type { RestartFields } from '../../../src/ipc/services/restart.js';
import { isAlive, startTicksOf } from '../../../src/platform/process.js';
import { ended, gone, line, never, script, startChildren } from './children-fixture.js';

const parent = fileURLToPath(new URL('./fixtures/children-parent.js', import.meta.url));

/** Starts children in a process of their own and kills that process, as a power cut of Hamlet would. */
async function leaveBehind(t: Test, folder: string, requests: readonly SpawnRequest[]): Promise<Child[]> {
  const process = spawn(globalThis.process.execPath, [parent, folder, JSON.stringify(requests)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => process.stdout.once('data', resolve));
  process.kill('SIGKILL');
  await new Promise((resolve) => process.once('exit', resolve));
  const left = readTable(path.join(folder, 'children.json'));
  t.equal(left.length, requests.length, 'the table has outlived its process');
  return left;
}

void t.test('a new run goes on with what a killed one has left running', async (t) => {
  const { folder, children, table } = startChildren(t);
  const [left] = await leaveBehind(t, folder, [script('a', 'echo started; sleep 60')]);
  t.same(await children.takeOver(true, never), { adopted: ['a'], ended: [], gone: [] });
  t.same(children.all, [left], 'the same process under the same name, in the same run');
  t.same(readTable(table), [left]);
  await t.rejects(children.spawn(script('a', 'true')), { code: 'ALREADY_EXISTS' });

  children.signal('a', 'SIGKILL');
  t.match(
    await ended(children, 'a'),
    { run: 1, exit: { code: null, signal: null } },
    'only a parent knows how',
  );
  t.match(await children.spawn(script('a', 'exit 3')), { run: 2 }, 'it goes on counting');
  t.match(await ended(children, 'a'), { run: 2, exit: { code: 3 } });
});

void t.test('what has lost its pipes is ended, with all that it started', async (t) => {
  const { folder, children, table } = startChildren(t);
  const left = await leaveBehind(t, folder, [
    script('a', 'sleep 60 & echo $!; wait'),
    script('stubborn', "trap '' TERM; echo ready; while :; do sleep 0.01; done"),
  ]);
  await line(folder, 'stubborn.1.out');
  const grandchild = Number(await line(folder, 'a.1.out'));
  for (const name of ['a.1.out', 'stubborn.1.out']) rmSync(path.join(folder, name));
  const { adopted, ended } = await children.takeOver(false, never);
  t.same(adopted, []);
  t.same([...ended].sort(), ['a', 'stubborn']);
  for (const { pid, startTicks } of left) t.notOk(isAlive(pid, startTicks));
  t.ok(await gone(grandchild));
  t.match(readTable(table), [{ exit: { code: null } }, { exit: { code: null } }]);
});

void t.test('a process that only has the number of a child is left alone', async (t) => {
  const { children, table } = startChildren(t);
  const stranger = spawn('/bin/sleep', ['60'], { detached: true });
  t.teardown(() => stranger.kill('SIGKILL'));
  const pid = stranger.pid ?? 0;
  const startTicks = startTicksOf(pid) ?? 0;
  const entry = { name: 'a', pid, run: 4, startedAtMs: 0, digest: '', exit: null };
  writeTable(table, [{ ...entry, startTicks: startTicks - 1 }]);
  t.match(await children.takeOver(true, never), { adopted: [], ended: [], gone: [{ name: 'a' }] });
  t.ok(isAlive(pid, startTicks));
  t.match(
    children.all,
    [{ name: 'a', run: 4, exit: { code: null, signal: null } }],
    'its own process is gone',
  );
});

void t.test('one that had ended before is not ended again', async (t) => {
  const { folder, children } = startChildren(t);
  const [child] = await leaveBehind(t, folder, [script('a', 'sleep 60')]);
  process.kill(child?.pid ?? 0, 'SIGKILL');
  await gone(child?.pid ?? 0);
  t.match(await children.takeOver(true, never), { adopted: [], ended: [], gone: [{ name: 'a' }] });
});

void t.test('a table that is no table is not believed', async (t) => {
  const { folder, children, table } = startChildren(t);
  const [left] = await leaveBehind(t, folder, [script('a', 'echo started; sleep 60')]);
  await line(folder, 'a.1.out');
  const whole = readFileSync(table, 'utf8');
  const contents = [
    '',
    '{',
    'null',
    '[{}]',
    '[null]',
    whole.slice(0, -1),
    whole.slice(0, whole.length / 2),
    '\0'.repeat(whole.length),
    whole.replace(/"pid":\d+/, '"pid":-1'),
    whole.replace(/"boot":"[^"]+/, '"boot":"another'),
  ];
  for (const content of contents) {
    writeFileSync(table, content);
    t.same(readTable(table), [], content);
  }
  t.same(readTable(path.join(t.testdirName, 'missing')), []);

  t.match(await children.takeOver(true, never), { adopted: [], ended: ['a'] }, 'its pipes tell what ran');
  t.notOk(isAlive(left?.pid ?? 0, left?.startTicks ?? 0));
});

void t.test('a child that was killed with Hamlet’s record of it is found by its pipes', async (t) => {
  const { folder, children, table } = startChildren(t);
  const [left] = await leaveBehind(t, folder, [script('a', 'echo started; sleep 60')]);
  await line(folder, 'a.1.out');
  writeTable(table, []);
  t.match(await children.takeOver(true, never), { adopted: [], ended: ['a'] });
  t.notOk(isAlive(left?.pid ?? 0, left?.startTicks ?? 0));
});

void t.test('a reset ends whatever runs', async (t) => {
  const { folder, children } = startChildren(t);
  const left = await leaveBehind(t, folder, [script('a', 'sleep 60'), script('b', 'sleep 60')]);
  await children.endLeftovers(never);
  for (const { pid, startTicks } of left) t.notOk(isAlive(pid, startTicks));
});

void t.test('what is left to another run is not this one’s business any more', async (t) => {
  const { children, table } = startChildren(t);
  const child = await children.spawn(script('a', 'sleep 60'));
  await children.release();
  const before = readFileSync(table, 'utf8');
  children.signal('a', 'SIGKILL');
  await gone(child.pid);
  t.match(children.all, [{ exit: null }]);
  t.equal(readFileSync(table, 'utf8'), before);
});

void t.test('giving up the wait for a leftover is the caller’s', async (t) => {
  const { folder, children } = startChildren(t);
  const [child] = await leaveBehind(t, folder, [
    script('a', "trap '' TERM; echo ready; while :; do sleep 0.01; done"),
  ]);
  await line(folder, 'a.1.out');
  t.teardown(() => process.kill(-(child?.pid ?? 0), 'SIGKILL'));
  const stop = new AbortController();
  const wait = children.endLeftovers(stop.signal);
  stop.abort(new Error('stopped'));
  await t.rejects(wait, { message: 'stopped' });
});

void t.test('what a component has left behind that ended while nobody watched is ended', async (t) => {
  const { folder, children } = startChildren(t);
  const [child] = await leaveBehind(t, folder, [
    script('a', "trap '' TERM; sleep 60 & echo $!; sleep 60 > /dev/null & echo $! >&2; wait"),
  ]);
  const orphan = Number(await line(folder, 'a.1.out'));
  const other = Number(await line(folder, 'a.1.err'));
  t.teardown(() => process.kill(other, 'SIGKILL'));
  process.kill(child?.pid ?? 0, 'SIGKILL');
  await gone(child?.pid ?? 0);
  t.ok(startTicksOf(orphan), 'it has outlived its parent');
  t.match(await children.takeOver(true, never), { adopted: [], ended: ['a'], gone: [{ name: 'a' }] });
  t.equal(startTicksOf(orphan), undefined);
  t.ok(startTicksOf(other), 'what does not write into its pipe is nobody’s');
});

void t.test('the kernel is asked whether one whose end nobody saw ran out of memory', async (t) => {
  const asked: number[] = [];
  const wasOomKilled = (pid: number) => asked.push(pid) > 0;
  const { folder, children } = startChildren(t, { wasOomKilled });
  const [a] = await leaveBehind(t, folder, [script('a', 'sleep 60'), script('b', 'sleep 60')]);
  process.kill(a?.pid ?? 0, 'SIGKILL');
  await gone(a?.pid ?? 0);
  const { gone: lost } = await children.takeOver(true, never);
  t.match(lost, [{ name: 'a', exit: { code: null, signal: null, outOfMemory: true } }]);
  t.same(asked, [a?.pid]);
  const records: RestartFields[] = [];
  recordKill({ put: (_id, fields) => records.push(fields) }, { adopted: ['b'], ended: [], gone: lost });
  t.match(records, [{ name: 'hamlet' }, { name: 'a', kind: 'out-of-memory', message: 'ran out of memory' }]);
});
