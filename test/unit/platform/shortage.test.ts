import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { HamletError } from '../../../src/lib/errors.js';
import { isShortage } from '../../../src/platform/shortage.js';

const errno = (code: string) => Object.assign(new Error(`spawn ${code}`), { code });

void t.test('a shortage is known behind other errors', (t) => {
  t.ok(isShortage(errno('EMFILE')));
  t.ok(isShortage(new HamletError('UNAVAILABLE', 'no answer', { cause: errno('EAGAIN') })));
  t.notOk(isShortage(new HamletError('UNAVAILABLE', 'no answer', { cause: errno('ECONNREFUSED') })));
  t.ok(
    isShortage({ name: 'Error', message: 'EAGAIN', code: 'ERR_WORKER_INIT_FAILED' }),
    "a thread's error too",
  );
  t.notOk(isShortage('EMFILE'));
  const circle = new Error('circle');
  circle.cause = circle;
  t.notOk(isShortage(circle));
  t.end();
});

void t.test('whether a process lives is known without a descriptor', (t) => {
  const platform = fileURLToPath(new URL('../../../src/platform/process.js', import.meta.url));
  const script = `
    import { openSync } from 'node:fs';
    import { spawn } from 'node:child_process';
    import { isAlive, startTicksOf } from ${JSON.stringify(platform)};
    const child = spawn('sleep', ['60']);
    const ticks = startTicksOf(child.pid);
    try { for (;;) openSync('/dev/null'); } catch (error) { if (error.code !== 'EMFILE') throw error; }
    const lives = isAlive(child.pid, ticks);
    child.once('exit', () => process.stdout.write(lives + ' ' + isAlive(child.pid, ticks)));
    child.kill();
  `;
  // Node.js raises the soft limit to the hard one.
  const { stdout, stderr } = spawnSync(
    'sh',
    ['-c', 'ulimit -n 128 && exec "$0" --input-type=module -e "$1"', process.execPath, script],
    { encoding: 'utf8' },
  );
  t.equal(stdout, 'true false', stderr);
  t.end();
});
