import { spawn } from 'node:child_process';
import { copyFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { poll } from '../../../src/lib/time.js';
import { isAlive, sendSignal, startTicksOf } from '../../../src/platform/process.js';

void t.test('a process is named by its pid and start, whatever its program is called', async (t) => {
  const program = path.join(t.testdir(), 'a ) S 1 (b');
  copyFileSync('/bin/sleep', program);
  const child = spawn(program, ['60'], { stdio: 'ignore' });
  const pid = child.pid ?? 0;
  const ticks = startTicksOf(pid) ?? 0;
  // Field 22, counted from the end of the name: the 20th after it.
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  t.equal(String(ticks), stat.slice(stat.lastIndexOf(') ') + 2).split(' ')[19]);
  t.ok(isAlive(pid, ticks));
  t.notOk(isAlive(pid, ticks + 1), 'another one with the same number');
  t.ok(sendSignal(pid, 'SIGKILL'));
  await new Promise((resolve) => child.once('exit', resolve));
  t.equal(startTicksOf(pid), undefined);
  t.notOk(isAlive(pid, ticks));
  t.notOk(sendSignal(pid, 'SIGKILL'), 'nobody is there to receive it');
  t.notOk(sendSignal(-pid, 'SIGKILL'));
});

void t.test('a zombie is not alive', async (t) => {
  // The shell starts a child and becomes a program that never waits for it.
  const parent = spawn('/bin/sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => parent.kill('SIGKILL'));
  const pid = Number(
    await new Promise((resolve) => parent.stdout.once('data', (data) => resolve(String(data)))),
  );
  const ticks = startTicksOf(pid) ?? 0;
  await poll(() => readFileSync(`/proc/${parent.pid ?? 0}/comm`, 'utf8') === 'sleep\n' || undefined, {
    everyMs: 5,
    timeoutMs: 5_000,
    what: 'the exec',
  });
  t.ok(isAlive(pid, ticks));
  process.kill(pid, 'SIGKILL');
  await poll(() => !isAlive(pid, ticks) || undefined, { everyMs: 5, timeoutMs: 5_000, what: 'its end' });
  t.match(readFileSync(`/proc/${pid}/stat`, 'latin1'), /\) Z /);
});
