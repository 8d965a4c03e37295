import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t from 'tap';
import {
  cachePaths,
  checkEntry,
  entryName,
  findEntries,
  putEntry,
  removeFolder,
  temporaryFolder,
  type Entry,
} from '../../../src/provision/cache.js';

const { signal } = new AbortController();
const given = { recipe: '1' };

async function put(cacheDir: string, found: Record<string, string>, content = 'content'): Promise<Entry> {
  const folder = temporaryFolder(cacheDir);
  writeFileSync(path.join(folder, 'program'), content);
  writeFileSync(path.join(folder, 'data'), 'data');
  return putEntry(cacheDir, 'kind', folder, { given, found, facts: { version: 'v1' } }, signal);
}

void t.test('what was put in is found by its given inputs, and is whole', async (t) => {
  const cacheDir = t.testdir();
  t.same(findEntries(cacheDir, 'kind', given), [], 'nothing in an empty cache');
  const entry = await put(cacheDir, { go: 'go1.19' });
  t.equal(path.basename(entry.folder), entryName('kind', given, { go: 'go1.19' }));
  const [found] = findEntries(cacheDir, 'kind', given);
  t.same(found, entry);
  t.equal(found?.manifest.facts.version, 'v1');
  await checkEntry(entry, signal);
  t.same(findEntries(cacheDir, 'kind', { recipe: '2' }), []);
  t.same(findEntries(cacheDir, 'other', given), []);
  t.same(readdirSync(cachePaths(cacheDir).tmp), [], 'nothing unfinished is left');
});

void t.test('an altered byte, a cut-off file and a missing one are found', async (t) => {
  const damage: Record<string, (file: string) => void> = {
    'its SHA-256 differs': (file) => {
      const bytes = readFileSync(file);
      bytes[3] = (bytes[3] ?? 0) ^ 1;
      writeFileSync(file, bytes);
    },
    'is not what was built': (file) => truncateSync(file, statSync(file).size - 1),
    'is gone': (file) => rmSync(file),
  };
  for (const [message, spoil] of Object.entries(damage)) {
    const entry = await put(t.testdir(), {});
    const file = path.join(entry.folder, 'program');
    spoil(file);
    await t.rejects(checkEntry(entry, signal), {
      code: 'DATA_LOSS',
      message: new RegExp(`${file}.*${message}`),
    });
  }
});

void t.test('an entry without a readable manifest does not count', async (t) => {
  const cacheDir = t.testdir();
  const entry = await put(cacheDir, {});
  const manifest = path.join(entry.folder, 'manifest.json');
  const text = readFileSync(manifest, 'utf8');
  for (const broken of ['', text.slice(0, text.length / 2), '{"given":{}}', '[]']) {
    writeFileSync(manifest, broken);
    t.same(findEntries(cacheDir, 'kind', given), [], `not with ${JSON.stringify(broken.slice(0, 20))}`);
  }
  const again = await put(cacheDir, {});
  t.equal(again.folder, entry.folder, 'a new one takes its place');
  t.equal(findEntries(cacheDir, 'kind', given).length, 1);
});

void t.test('the newest come first, and only some are kept', async (t) => {
  const cacheDir = t.testdir();
  const versions = ['go1.1', 'go1.2', 'go1.3', 'go1.4', 'go1.5'];
  for (const go of versions) {
    const { folder } = await put(cacheDir, { go });
    // Entries of the same millisecond would have no order.
    const file = path.join(folder, 'manifest.json');
    const builtAt = `2020-01-01T00:00:0${versions.indexOf(go)}.000Z`;
    writeFileSync(file, readFileSync(file, 'utf8').replace(/"builtAt": "[^"]*"/, `"builtAt": "${builtAt}"`));
  }
  const kept = findEntries(cacheDir, 'kind', given).map(({ manifest }) => manifest.found.go);
  t.equal(kept[0], 'go1.5');
  t.equal(kept.length, 3);
});

void t.test('what a process runs from is kept as long as it runs', async (t) => {
  const cacheDir = t.testdir();
  const { folder } = await put(cacheDir, { go: 'used' });
  const program = path.join(folder, 'program');
  copyFileSync('/bin/sleep', program);
  chmodSync(program, 0o755);
  const child = spawn(program, ['600'], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  for (const go of ['1', '2', '3', '4']) await put(cacheDir, { go });
  t.ok(existsSync(program), 'beside newer ones');
  child.kill('SIGKILL');
  await once(child, 'exit');
  await put(cacheDir, { go: '5' });
  t.notOk(existsSync(folder), 'gone with the next one');
});

void t.test('a folder goes away as a whole', async (t) => {
  const cacheDir = t.testdir({ tree: { a: { b: 'c' } } });
  const tree = path.join(cacheDir, 'tree');
  removeFolder(cacheDir, tree);
  removeFolder(cacheDir, tree);
  t.notOk(existsSync(tree));
  t.same(readdirSync(cachePaths(cacheDir).tmp), []);
});
