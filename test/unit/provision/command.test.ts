import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { poll } from '../../../src/lib/time.js';
import { startTicksOf } from '../../../src/platform/process.js';
import { runCommand } from '../../../src/provision/command.js';

const { signal } = new AbortController();
const commandModule = new URL('../../../src/provision/command.js', import.meta.url).href;

/** A shell that writes the pids of itself and of a child of its own, and waits. */
const waiting = (file: string) => `sleep 300 & echo $$ $! > ${file}.new; mv ${file}.new ${file}; wait`;

async function pidsIn(file: string): Promise<number[]> {
  await poll(() => existsSync(file) || undefined, { everyMs: 5, timeoutMs: 10_000, what: file });
  return readFileSync(file, 'utf8').trim().split(' ').map(Number);
}

async function ended(pid: number): Promise<void> {
  const what = `the end of process ${pid}`;
  await poll(() => startTicksOf(pid) === undefined || undefined, { everyMs: 5, timeoutMs: 10_000, what });
}

void t.test('gives the output, and each line as it comes', async (t) => {
  const lines: string[] = [];
  const script = 'printf "one\\ntwo"; printf "three\\rfour\\n" >&2; printf " more\\n"';
  const output = await runCommand(['sh', '-c', script], { signal, onLine: (line) => lines.push(line) });
  t.equal(output, 'one\ntwo more\n');
  t.same(lines.sort(), ['four', 'one', 'three', 'two more']);
});

void t.test('a failure shows how it ended, the last lines and what to do', async (t) => {
  const options = { signal, advice: 'Do this.' };
  await t.rejects(runCommand(['sh', '-c', 'seq 1 40; echo last >&2; exit 3'], options), {
    code: 'ABORTED',
    message: /^sh -c .* ended with exit code 3\n {2}\| 27\n[^]*\n {2}\| last\nDo this\.$/,
  });
  await t.rejects(runCommand(['sh', '-c', 'kill -9 $$'], { signal }), { message: /out of memory/ });
  await t.rejects(runCommand(['/nonexistent/program'], { signal }), { code: 'NOT_FOUND' });
});

void t.test('nothing of the environment gets through but the way to the network', async (t) => {
  process.env.HAMLET_TEST_SECRET = 'secret';
  t.teardown(() => delete process.env.HAMLET_TEST_SECRET);
  t.notMatch(await runCommand(['env'], { signal }), /HAMLET_TEST_SECRET/);
});

void t.test('an abort ends the whole group', async (t) => {
  const file = path.join(t.testdir(), 'pids');
  const stop = new AbortController();
  const run = runCommand(['sh', '-c', waiting(file)], { signal: stop.signal });
  const pids = await pidsIn(file);
  stop.abort(new Error('stopped'));
  await t.rejects(run, { message: 'stopped' });
  for (const pid of pids) await ended(pid);
  await t.rejects(
    runCommand(['true'], { signal: stop.signal }),
    { message: 'stopped' },
    'nothing is started after it',
  );
});

void t.test('a command that must finish does, and then the abort counts', async (t) => {
  const file = path.join(t.testdir(), 'done');
  const stop = new AbortController();
  const script = `echo started; sleep 0.3; touch ${file}`;
  const onLine = () => stop.abort(new Error('stopped'));
  await t.rejects(runCommand(['sh', '-c', script], { signal: stop.signal, finish: true, onLine }), {
    message: 'stopped',
  });
  t.ok(existsSync(file));
});

void t.test('a command does not outlive a killed run', async (t) => {
  const file = path.join(t.testdir(), 'pids');
  const code = `
    import { runCommand } from ${JSON.stringify(commandModule)};
    await runCommand(['sh', '-c', ${JSON.stringify(`echo $$ > ${file}.new; mv ${file}.new ${file}; exec sleep 300`)}],
      { signal: new AbortController().signal });
  `;
  const run = spawn(process.execPath, ['--input-type=module', '--eval', code], { stdio: 'inherit' });
  const [pid = 0] = await pidsIn(file);
  run.kill('SIGKILL');
  await once(run, 'exit');
  await ended(pid);
  t.pass('it has ended');
});
