import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { takeLock } from '../../../src/platform/lock.js';
import { startTicksOf } from '../../../src/platform/process.js';

void t.test('a lock is held by one until it lets go', async (t) => {
  const folder = t.testdir();
  const file = path.join(folder, 'lock');
  {
    using _lock = takeLock(file, 'Hamlet runs');
    t.equal(readFileSync(file, 'utf8'), `${process.pid} ${startTicksOf(process.pid) ?? 0}\n`);
    t.equal(statSync(file).mode & 0o777, 0o600);
    t.throws(() => takeLock(file, 'Hamlet runs'), {
      code: 'FAILED_PRECONDITION',
      message: `Hamlet runs already, as process ${process.pid} (${file})`,
    });
    t.same(readdirSync(folder), ['lock'], 'a try leaves nothing behind');
  }
  t.notOk(existsSync(file));
  takeLock(file, 'Hamlet runs')[Symbol.dispose]();
});

void t.test('a lock that was left behind is taken over', async (t) => {
  const file = path.join(t.testdir(), 'lock');
  const child = spawn('/bin/true');
  await new Promise((resolve) => child.once('exit', resolve));
  const ticks = startTicksOf(process.pid) ?? 0;
  const stale = {
    'a dead process': `${child.pid ?? 0} 12345\n`,
    'a process that only has the number of the holder': `${process.pid} ${ticks - 1}\n`,
    'a file cut short': '',
    'something else': 'hello world\n',
  };
  for (const [what, content] of Object.entries(stale)) {
    writeFileSync(file, content);
    using _lock = takeLock(file, 'Hamlet runs');
    t.match(readFileSync(file, 'utf8'), `${process.pid} `, what);
  }
});

void t.test('who lets go late takes nobody else’s lock away', async (t) => {
  const file = path.join(t.testdir(), 'lock');
  const lock = takeLock(file, 'Hamlet runs');
  writeFileSync(file, '1 1\n');
  lock[Symbol.dispose]();
  t.equal(readFileSync(file, 'utf8'), '1 1\n');
});

void t.test('a folder that cannot be written is no held lock', async (t) => {
  t.throws(() => takeLock(path.join(t.testdir(), 'missing', 'lock'), 'Hamlet runs'), { code: 'ENOENT' });
});
