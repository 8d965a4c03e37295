import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { removeRecords, runFolder, stateFolders } from '../../../src/host/reset/folders.js';
import { removeTree } from '../../../src/host/reset/remove-tree.js';
import { diskUsage, formatBytes } from '../../../src/host/reset/size.js';
import { recordSysctls, sysctlsFile } from '../../../src/host/sysctls.js';
import type { Config } from '../../../src/platform/config.js';
import { nodeFor } from './fixture.js';

const never = new AbortController().signal;

void t.test('a tree is deleted around what is mounted in it', async (t) => {
  const root = t.testdir({
    tree: {
      a: { disk: { data: 'precious' }, file: '' },
      b: { c: '' },
      link: t.fixture('symlink', '../outside'),
    },
    outside: { data: 'precious' },
  });
  const tree = path.join(root, 'tree');
  const disk = path.join(tree, 'a', 'disk');
  const [failed, ...more] = removeTree(tree, new Set([disk]));
  t.match(failed, disk);
  t.same(more, []);
  t.same(readdirSync(tree), ['a'], 'the rest is gone');
  t.equal(readFileSync(path.join(disk, 'data'), 'utf8'), 'precious');
  t.equal(readFileSync(path.join(root, 'outside/data'), 'utf8'), 'precious', 'links are not followed');
  t.same(removeTree(tree, new Set()), []);
  t.notOk(existsSync(tree));
  t.same(removeTree(tree, new Set()), [], 'what is gone already is no failure');
});

void t.test('the state folder goes with all that a node puts into it', async (t) => {
  const config = nodeFor(t);
  fill(config);
  const kind = stateFolders(config);
  t.match(await kind.find(), /state \(.*\), with 1 image archive of /);
  t.same(await kind.remove(never), { left: [], failed: [] });
  t.same(readdirSync(config.paths.state), ['sysctls.json'], 'but for what a second reset would need');
  removeRecords(config);
  t.notOk(existsSync(config.paths.state));
  t.equal(await kind.find(), undefined, 'there is nothing any more');
});

void t.test('what a person has put into the folder stays, and is named', async (t) => {
  const config = nodeFor(t);
  fill(config);
  writeFileSync(path.join(config.paths.state, 'notes.txt'), 'mine');
  const { left, failed } = await stateFolders(config).remove(never);
  t.same(failed, []);
  t.match(left, [/notes\.txt/]);
  removeRecords(config);
  t.same(readdirSync(config.paths.state), ['notes.txt']);
});

void t.test('a state folder that is a link is emptied, and the link stays', async (t) => {
  const config = nodeFor(t);
  const disk = path.join(path.dirname(config.paths.state), 'disk');
  mkdirSync(disk);
  symlinkSync('disk', config.paths.state);
  fill(config);
  t.same(await stateFolders(config).remove(never), { left: [], failed: [] });
  removeRecords(config);
  t.same(readdirSync(disk), []);
  t.ok(existsSync(config.paths.state));
});

void t.test('the run-time folder is emptied but for the lock', async (t) => {
  const config = nodeFor(t);
  const { run } = config.paths;
  for (const name of ['mesh', 'bin', 'containerd', 'volume-plugins'])
    mkdirSync(path.join(run, name), { recursive: true });
  for (const name of ['hamlet.lock', 'children.json', '.children.json.4242.tmp', '.children.json.tmp'])
    writeFileSync(path.join(run, name), '');
  t.same(await runFolder(config).remove(never), { left: [], failed: [] });
  t.same(readdirSync(run), ['hamlet.lock']);
});

void t.test('kernel settings are recorded once', async (t) => {
  const config = nodeFor(t);
  mkdirSync(config.paths.state);
  recordSysctls(config);
  const file = sysctlsFile(config);
  const record = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
  t.match(record, { 'vm/overcommit_memory': /^[012]$/, 'net/ipv4/ip_forward': /^[01]$/ });
  writeFileSync(file, '{}');
  recordSysctls(config);
  t.equal(readFileSync(file, 'utf8'), '{}', 'a second start leaves the record of the first');
});

void t.test('sizes', async (t) => {
  const root = t.testdir({ a: { disk: { file: 'x'.repeat(100_000) } }, file: 'x'.repeat(10_000) });
  t.ok(diskUsage(root, new Set()) >= 110_000);
  t.ok(diskUsage(root, new Set([path.join(root, 'a/disk')])) < 100_000, 'without what is mounted');
  t.same([1, 4096, 71_000_000, 1_240_000_000].map(formatBytes), ['1 KB', '5 KB', '71 MB', '1.2 GB']);
});

/** Makes what every start of a node leaves in its state folder. */
function fill(config: Config): void {
  const { etcd, containerd, kubelet, kubeletPki, images, cni, state } = config.paths;
  for (const folder of [etcd, containerd, kubelet, kubeletPki, images, cni, path.join(state, 'logs/etcd')])
    mkdirSync(folder, { recursive: true });
  const temporary = ['.node.key.17.tmp', '.node.key.tmp', `.${path.basename(sysctlsFile(config))}.tmp`];
  const records = ['audit.jsonl', 'audit.jsonl.1', 'refused-audit.jsonl', 'refused-audit.jsonl.1'];
  for (const name of ['node.key', 'starts', 'runs.json', ...records, ...temporary])
    writeFileSync(path.join(state, name), 'x');
  writeFileSync(path.join(images, 'mine.tar'), 'x'.repeat(5_000));
  recordSysctls(config);
}
