import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { standbyName } from '../../../src/host/launcher.js';
import { sendSignal } from '../../../src/platform/process.js';
import { ended, gone, line, script, startChildren, waitFor } from './children-fixture.js';

/** Writes its pid, folder, environment and other descriptors than its first three, and ends when it is told to. */
const program = `echo $$ $PWD "$GREETING" $(ls /proc/$$/fd | grep -vc '^[012]$'); sleep 60`;
const overrides = { env: { PATH: '/bin:/usr/bin', GREETING: 'hello' }, cwd: '/usr' };

/** Processes that wait to become a program with this text in its arguments. */
function standbys(text: string): number[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return argv[3] === standbyName && argv.some((word) => word.includes(text)) ? [Number(pid)] : [];
    } catch {
      return [];
    }
  });
}

const standby = (text: string) => waitFor('a process on standby', () => standbys(text)[0]);

void t.test('the next start is the process that was made for it', async (t) => {
  const { folder, children } = startChildren(t, { standbyDelayMs: 0 });
  const request = script('a', `: ${folder}; ${program}; exit 3`, overrides);
  const first = await children.spawn(request);
  const usual = (await line(folder, 'a.1.out')).split(' ').slice(1);
  const pid = await standby(folder);
  sendSignal(-first.pid, 'SIGKILL');
  await ended(children, 'a');

  const second = await children.spawn(request);
  t.match(second, { pid, run: 2, exit: null });
  const [own, ...rest] = (await line(folder, 'a.2.out')).split(' ');
  t.equal(Number(own), pid);
  t.same(rest, usual, 'in the same folder and environment, with the same descriptors');
  t.equal(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), `${request.argv.join('\0')}\0`);

  const third = await standby(folder);
  sendSignal(pid, 'SIGTERM');
  t.match(await ended(children, 'a'), { run: 2, exit: { code: null, signal: 'SIGTERM' } });
  t.match(await children.spawn(request), { pid: third, run: 3 });
});

void t.test('exit codes of what was on standby are those of its program', async (t) => {
  const { folder, children } = startChildren(t, { standbyDelayMs: 0 });
  const ends = path.join(folder, 'ends');
  const request = script('a', `[ -e ${ends} ] && exit 3; sleep 60`);
  const first = await children.spawn(request);
  const pid = await standby(ends);
  sendSignal(-first.pid, 'SIGKILL');
  await ended(children, 'a');
  writeFileSync(ends, '');
  t.match(await children.spawn(request), { pid, run: 2 });
  t.match(await ended(children, 'a'), { pid, run: 2, exit: { code: 3, signal: null } });
});

void t.test('what is to be started otherwise gets a process of its own', async (t) => {
  const { folder, children } = startChildren(t, { standbyDelayMs: 0 });
  const first = await children.spawn(script('a', `: ${folder}; ${program}`));
  const pid = await standby(folder);
  sendSignal(-first.pid, 'SIGKILL');
  await ended(children, 'a');
  const second = await children.spawn(script('a', `: other ${folder}; ${program}`));
  t.not(second.pid, pid);
  t.ok(await gone(pid), 'nobody waits for what will not be started');
});

void t.test('a standby that was killed is not missed', async (t) => {
  const { folder, children } = startChildren(t, { standbyDelayMs: 0 });
  const request = script('a', `: ${folder}; ${program}`);
  const first = await children.spawn(request);
  const pid = await standby(folder);
  sendSignal(pid, 'SIGKILL');
  await gone(pid);
  sendSignal(-first.pid, 'SIGKILL');
  await ended(children, 'a');
  const second = await children.spawn(request);
  t.match(second, { run: 2, exit: null });
  t.equal(Number((await line(folder, 'a.2.out')).split(' ')[0]), second.pid);
});

void t.test('nothing waits any more once the components are left to another run, or are ended', async (t) => {
  const left = startChildren(t, { standbyDelayMs: 0 });
  await left.children.spawn(script('a', `: ${left.folder}; sleep 60`));
  const pid = await standby(left.folder);
  await left.children.release();
  t.ok(await gone(pid));

  const over = startChildren(t, { standbyDelayMs: 0 });
  await over.children.spawn(script('a', `: ${over.folder}; sleep 60`));
  const other = await standby(over.folder);
  await over.children.endAll(['a'], AbortSignal.timeout(10_000));
  t.ok(await gone(other));
});

void t.test('what has not run for long enough has nobody wait for its next start', async (t) => {
  const { folder, children } = startChildren(t, { standbyDelayMs: 10_000 });
  const request = script('a', `: ${folder}; exit 0`);
  await children.spawn(request);
  await ended(children, 'a');
  t.match(await children.spawn(request), { run: 2 });
  await ended(children, 'a');
  t.same(standbys(folder), []);
});
