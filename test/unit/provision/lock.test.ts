import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { acquireLock } from '../../../src/provision/lock.js';

const { signal } = new AbortController();
const lockModule = new URL('../../../src/provision/lock.js', import.meta.url).href;

/** A process that takes the lock, says so, and keeps it. */
async function holder(t: Test, file: string) {
  const code = `
    import { acquireLock } from ${JSON.stringify(lockModule)};
    await acquireLock(${JSON.stringify(file)}, { signal: new AbortController().signal });
    console.log('held');
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

void t.test('one at a time; whoever waits is told for whom', async (t) => {
  const file = path.join(t.testdir(), 'folder', 'lock');
  const child = await holder(t, file);
  let waitedFor: number | undefined;
  const stop = new AbortController();
  const onWait = (pid: number | undefined) => {
    waitedFor = pid;
    stop.abort(new Error('long enough'));
  };
  await t.rejects(acquireLock(file, { signal: stop.signal, onWait }), { message: 'long enough' });
  t.equal(waitedFor, child.pid);
});

void t.test('the lock of a killed process is free at once', async (t) => {
  const file = path.join(t.testdir(), 'lock');
  const child = await holder(t, file);
  const waiting = acquireLock(file, { signal, onWait: () => child.kill('SIGKILL') });
  const lock = await waiting;
  lock[Symbol.dispose]();
  t.equal(child.signalCode ?? (await once(child, 'exit'))[1], 'SIGKILL');
});

void t.test('a file that a dead process left is no lock, whatever it says', async (t) => {
  const file = path.join(t.testdir(), 'lock');
  // This process is alive, and does not hold it.
  writeFileSync(file, `${process.pid}\n`);
  const onWait = () => t.fail('nobody holds it');
  for (let round = 0; round < 2; round++) {
    using _lock = await acquireLock(file, { signal, onWait });
  }
});
