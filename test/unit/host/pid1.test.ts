import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { waitFor } from './children-fixture.js';

const pid1 = fileURLToPath(new URL('../../../../init/pid1', import.meta.url));
const mayUnshare = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0;
const skip = mayUnshare ? false : 'a PID namespace needs root';

/** Runs a shell script under pid1 in a PID namespace of its own. */
function start(script: string) {
  const words = ['--pid', '--fork', '--kill-child', '--mount-proc', pid1, 'sh', '-c', script];
  const child = spawn('unshare', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  const says = (text: string) =>
    waitFor(`"${text}" in:\n${output}`, () => output.includes(text) || undefined);
  /** The first process of the namespace: a child of unshare. */
  const first = () => Number(spawnSync('pgrep', ['-P', String(child.pid)]).stdout.toString());
  return { child, says, first, output: () => output };
}

void t.test('as the first process it reaps orphans, and starts again what dies', { skip }, async (t) => {
  // The orphan's parent ends at once, so that the orphan goes to the first process; then it ends itself.
  const script = `
    sh -c 'sleep 0.2 & exit 0'
    for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done
    grep -l '^State:.*Z' /proc/[0-9]*/status 2>/dev/null && echo a zombie is left
    echo run ended
    exit 3`;
  const { child, says, output } = start(script);
  t.teardown(() => child.kill('SIGKILL'));
  await waitFor('two runs', () => (output().match(/run ended/g)?.length ?? 0) >= 2 || undefined);
  await says('run ended');
  t.notMatch(output(), /a zombie is left/);
});

void t.test('signals go on to what it runs, and its exit code is the end', { skip }, async (t) => {
  const { child, says, first } = start(
    `trap 'echo hung up' HUP; trap 'echo stopping; exit 5' TERM; echo runs; while :; do sleep 0.05; done`,
  );
  t.teardown(() => child.kill('SIGKILL'));
  await says('runs');
  process.kill(first(), 'SIGHUP');
  await says('hung up');
  const exit = once(child, 'exit');
  process.kill(first(), 'SIGTERM');
  await says('stopping');
  t.same((await exit)[0], 5);
});

void t.test('a SIGTERM between two runs is the end', { skip }, async (t) => {
  const file = path.join(t.testdir({ runs: '' }), 'runs');
  const { child, first } = start(`echo run >> ${file}; exit 3`);
  t.teardown(() => child.kill('SIGKILL'));
  const exit = once(child, 'exit');
  const pauses = () => spawnSync('pgrep', ['-P', String(first()), '-x', 'sleep']).status === 0;
  await waitFor('the pause', () => pauses() || undefined);
  const runs = readFileSync(file, 'utf8');
  process.kill(first(), 'SIGTERM');
  t.same((await exit)[0], 3);
  t.equal(readFileSync(file, 'utf8'), runs, 'nothing is started any more');
});

void t.test('a SIGTERM at any time of a start is the end', { skip }, async (t) => {
  const script = `
    for delay in 0 1 2 3 4 5 6 7 8 9 10 11 12 14 16 18 20 25; do
      ${pid1} sleep 100 & pid=$!
      sleep $(printf 0.%03d $delay)
      kill -TERM $pid
      wait $pid
    done
    echo all have ended`;
  const words = ['--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', script];
  const { stdout } = spawnSync('unshare', words, {
    encoding: 'utf8',
    timeout: 25_000,
    killSignal: 'SIGKILL',
  });
  t.match(stdout, /all have ended/);
});
