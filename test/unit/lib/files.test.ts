import { spawn } from 'node:child_process';
import { chmodSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import {
  ensureFolder,
  removeFile,
  replaceFile,
  rewriteFile,
  writeFileAtomic,
} from '../../../src/lib/files.js';
import { poll } from '../../../src/lib/time.js';

const writer = fileURLToPath(new URL('./fixtures/endless-writer.js', import.meta.url));

for (const [name, write] of Object.entries({ writeFileAtomic, replaceFile })) {
  void t.test(`${name} puts content and mode in place`, async (t) => {
    const folder = t.testdir();
    const file = path.join(folder, 'file');
    write(file, 'first', 0o600);
    t.equal(readFileSync(file, 'utf8'), 'first');
    t.equal(statSync(file).mode & 0o777, 0o600);
    write(file, Buffer.from([1, 2, 3]), 0o400);
    t.same(readFileSync(file), Buffer.from([1, 2, 3]));
    t.equal(statSync(file).mode & 0o777, 0o400);
    t.same(readdirSync(folder), ['file']);
  });

  void t.test(`${name} leaves the old content and nothing else when it fails`, async (t) => {
    const folder = t.testdir({ file: { occupied: '' } });
    t.throws(() => write(path.join(folder, 'file'), 'new', 0o600), { code: 'EISDIR' });
    t.same(readdirSync(folder), ['file']);
    t.throws(() => write(path.join(folder, 'missing', 'file'), 'new', 0o600), { code: 'ENOENT' });
  });
}

void t.test('a writer that is killed leaves the old content or the new one, never a part', async (t) => {
  const file = path.join(t.testdir(), 'file');
  for (let round = 0; round < 5; round++) {
    const child = spawn(process.execPath, [writer, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    // It writes without a pause, so that wherever it is killed it is about to do something.
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    const content = readFileSync(file, 'utf8');
    t.match(content, /^(\d+)\n(x+)\nend \1\n$/, 'it begins and ends with the same number');
    t.equal(content.split('\n')[1]?.length, 1_000_000);
  }
  t.match(readdirSync(path.dirname(file)).length, /^[12]$/, 'five of them leave no more than one');
  replaceFile(file, 'whole', 0o600);
  t.same(readdirSync(path.dirname(file)), ['file'], 'and the next one takes that away');
});

void t.test('a reader never sees a part', async (t) => {
  const file = path.join(t.testdir(), 'file');
  const child = spawn(process.execPath, [writer, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const numbers = new Set<string>();
  await poll(
    () => {
      const [, number = ''] = /^(\d+)\nx{1000000}\nend \1\n$/.exec(readFileSync(file, 'utf8')) ?? [];
      if (number === '') t.fail('a part');
      return numbers.add(number).size >= 10 || undefined;
    },
    { everyMs: 0, timeoutMs: 10_000, what: 'ten versions' },
  );
  child.kill('SIGKILL');
  t.ok(numbers.size >= 10);
});

void t.test('a folder is made with its parents, and one that is there keeps its mode', async (t) => {
  const folder = path.join(t.testdir(), 'a', 'b');
  t.equal(ensureFolder(folder, 0o700), folder);
  t.equal(statSync(folder).mode & 0o777, 0o700);
  ensureFolder(folder, 0o755);
  t.equal(statSync(folder).mode & 0o777, 0o700);
});

void t.test(
  'rewriteFile takes a file from nobody',
  { skip: process.geteuid?.() !== 0 && 'it takes another user’s place' },
  (t) => {
    const folder = t.testdir({ file: 'root’s' });
    chmodSync(folder, 0o777);
    process.seteuid?.(65_534);
    try {
      t.throws(() => rewriteFile(path.join(folder, 'file'), 'another', 0o600), { code: 'EPERM' });
    } finally {
      process.seteuid?.(0);
    }
    t.equal(readFileSync(path.join(folder, 'file'), 'utf8'), 'root’s');
    t.same(readdirSync(folder), ['file']);
    t.end();
  },
);

void t.test('removeFile takes away a file that may not be there, and no folder', (t) => {
  const folder = t.testdir({ file: '', inner: {} });
  removeFile(path.join(folder, 'file'));
  t.same(readdirSync(folder), ['inner']);
  t.doesNotThrow(() => removeFile(path.join(folder, 'file')));
  t.throws(() => removeFile(path.join(folder, 'inner')), { code: 'EISDIR' });
  t.same(readdirSync(folder), ['inner']);
  t.end();
});
