import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { readTable } from '../../../src/host/children.js';
import type { Child, SpawnRequest } from '../../../src/ipc/services/host.js';
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

void t.test('a new run ends what a killed one has left behind, with all that it started', async (t) => {
  const { folder, children, table } = startChildren(t);
  const left = await leaveBehind(t, folder, [
    script('a', 'sleep 60 & echo $!; wait'),
    script('stubborn', "trap '' TERM; echo ready; while :; do sleep 0.01; done"),
  ]);
  await line(folder, 'stubborn.1.out');
  const grandchild = Number(await line(folder, 'a.1.out'));
  for (const { pid, startTicks } of left) t.ok(isAlive(pid, startTicks));
  t.same((await children.endLeftovers(never)).toSorted(), ['a', 'stubborn']);
  for (const { pid, startTicks } of left) t.notOk(isAlive(pid, startTicks));
  t.ok(await gone(grandchild));
  t.match(readTable(table), [], 'nothing is asked of the file until the first start');
  t.match(await children.spawn(script('a', 'true')), { run: 2 }, 'it goes on counting');
  await ended(children, 'a');
});

void t.test('a process that only has the number of a child is left alone', async (t) => {
  const { children, table } = startChildren(t);
  const stranger = spawn('/bin/sleep', ['60'], { detached: true });
  t.teardown(() => stranger.kill('SIGKILL'));
  const pid = stranger.pid ?? 0;
  const startTicks = startTicksOf(pid) ?? 0;
  const entry = { name: 'a', pid, run: 4, startedAtMs: 0, digest: '', exit: null };
  writeFileSync(table, JSON.stringify([{ ...entry, startTicks: startTicks - 1 }]));
  t.same(await children.endLeftovers(never), []);
  t.ok(isAlive(pid, startTicks));
  t.match(children.all, [{ name: 'a', run: 4, exit: { signal: 'SIGTERM' } }], 'its own process is gone');
});

void t.test('one that had ended before is not ended again', async (t) => {
  const { folder, children } = startChildren(t);
  const [child] = await leaveBehind(t, folder, [script('a', 'sleep 60')]);
  process.kill(child?.pid ?? 0, 'SIGKILL');
  await gone(child?.pid ?? 0);
  t.same(await children.endLeftovers(never), []);
});

void t.test('a table that is no table counts as none', async (t) => {
  const { children, table } = startChildren(t);
  const good = { name: 'a', pid: 1, startTicks: 1, run: 1, startedAtMs: 0, digest: '', exit: null };
  const contents = ['', '{', 'null', '[{}]', JSON.stringify([{ ...good, pid: -1 }]), '[null]'];
  for (const content of contents) {
    writeFileSync(table, content);
    t.same(readTable(table), [], content);
    t.same(await children.endLeftovers(never), []);
  }
  t.same(readTable(path.join(t.testdirName, 'missing')), []);
  writeFileSync(table, JSON.stringify([good]));
  t.same(readTable(table), [good]);
  t.ok(readFileSync(table));
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
