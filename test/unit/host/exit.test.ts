import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { exitCodes, fail } from '../../../src/host/exit.js';
import { HamletError } from '../../../src/lib/errors.js';

const running = new AbortController().signal;

function failed(t: Test, error: unknown, stopped = running): { code: number; text: string } {
  const written = t.capture(process.stderr, 'write', () => true);
  const code = fail(error, stopped);
  written.restore();
  return {
    code,
    text: written()
      .map(({ args }) => String(args[0]))
      .join(''),
  };
}

void t.test('what a person can put right is told in one line', async (t) => {
  const cause = new Error('EACCES: permission denied');
  const error = new HamletError('FAILED_PRECONDITION', 'the state folder /x cannot be written', { cause });
  t.same(failed(t, error), {
    code: exitCodes.failure,
    text: 'hamlet: the state folder /x cannot be written: EACCES: permission denied\n',
  });
  t.same(failed(t, new HamletError('INVALID_ARGUMENT', 'node.yaml: wrong')), {
    code: exitCodes.usage,
    text: 'hamlet: node.yaml: wrong\n',
  });
});

void t.test('anything else is told with its stack', async (t) => {
  for (const error of [new TypeError('x is not a function'), new HamletError('INTERNAL', 'odd')]) {
    const { code, text } = failed(t, error);
    t.equal(code, exitCodes.failure);
    t.match(text, new RegExp(`^hamlet: ${error.message}\n`));
    t.match(text, /\n {4}at .*exit\.test/);
  }
  t.same(failed(t, 'a string'), { code: exitCodes.failure, text: "hamlet: 'a string'\n" });
});

void t.test('a stop that was asked for is no failure', async (t) => {
  const stop = new AbortController();
  const reason = new HamletError('CANCELLED', 'stopped by SIGTERM');
  t.equal(failed(t, reason).code, exitCodes.failure, 'nobody has asked for it yet');
  stop.abort(reason);
  t.same(failed(t, reason, stop.signal), { code: exitCodes.ok, text: '' });
  t.same(failed(t, new HamletError('CANCELLED', 'given up'), stop.signal), { code: exitCodes.ok, text: '' });
  t.match(failed(t, new HamletError('INTERNAL', 'etcd is still there'), stop.signal), {
    code: exitCodes.failure,
    text: /etcd is still there/,
  });
});

/** Runs what ends with `endProcess`, and tells how it did. */
async function end(code: string) {
  const exitModule = new URL('../../../src/host/exit.js', import.meta.url).href;
  const script = `import fs from 'node:fs'; import { endProcess } from ${JSON.stringify(exitModule)}; ${code}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr.on('data', (data: Buffer) => (text += data.toString()));
  const [exitCode, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { exitCode, signal, text };
}

void t.test('a process ends with its exit code, and waits for what is under way on the disk', async (t) => {
  t.same(await end('await endProcess(3);'), { exitCode: 3, signal: null, text: '' });
  const file = path.join(t.testdir({ file: 'old' }), 'file');
  const write = `fs.writeFile(${JSON.stringify(file)}, 'x'.repeat(1_000_000), () => undefined);`;
  t.same(await end(`${write} await endProcess(4);`), { exitCode: 4, signal: null, text: '' });
  t.equal(readFileSync(file).length, 1_000_000);
});

void t.test('a process whose disk does not answer ends as well, and says why', async (t) => {
  const fifo = path.join(t.testdir(), 'fifo');
  execFileSync('mkfifo', [fifo]);
  // As a read does of a disk that hangs, this never comes back: nobody writes to it.
  const hang = `fs.open(${JSON.stringify(fifo)}, 'r', () => undefined);`;
  t.same(await end(`${hang} await endProcess(3, 100);`), {
    exitCode: null,
    signal: 'SIGKILL',
    text: 'hamlet: a file operation hangs in a system call, as on a disk that does not answer (see dmesg): this process ends with SIGKILL\n',
  });
});
