import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { countStart } from '../../../src/host/starts.js';
import { sequencesPerStart } from '../../../src/lib/ring/memory.js';

function folderOf(t: Test) {
  const folder = t.testdir();
  const segments = path.join(folder, 'logs');
  mkdirSync(path.join(segments, 'etcd'), { recursive: true });
  return {
    options: { file: path.join(folder, 'starts'), note: path.join(folder, 'note'), segments },
    line: (name: string) => writeFileSync(path.join(segments, 'etcd', name), ''),
  };
}

void t.test('starts are counted from 1', async (t) => {
  const { options } = folderOf(t);
  t.same(countStart(options), { number: 1, problem: undefined });
  t.same(countStart(options), { number: 2, problem: undefined });
  t.equal(readFileSync(options.file, 'utf8'), '2\n');
  t.same(countStart({ ...options, segments: undefined }), { number: 3, problem: undefined });
});

void t.test('no number comes again, whatever the file says', async (t) => {
  const { options, line } = folderOf(t);
  line(`${7 * sequencesPerStart + 3}.raw`);
  line(`${5 * sequencesPerStart}-${6 * sequencesPerStart}-1-2.packed`);
  line('something else');
  t.same(countStart(options), { number: 8, problem: undefined }, 'lines of start 7 are on the disk');
  for (const garbage of ['', 'x\n', '-4\n', '1e300', '8\n9\n']) {
    const before = countStart(options).number;
    line(`${before * sequencesPerStart}.raw`);
    writeFileSync(options.file, garbage);
    const { number, problem } = countStart(options);
    t.ok(number > before, JSON.stringify(garbage));
    t.match(problem, /starts holds no number; the starts of Hamlet are counted on from \d+$/);
    t.same(countStart(options), { number: number + 1, problem: undefined });
  }
});

void t.test('where it cannot be written it is noted elsewhere', async (t) => {
  const { options } = folderOf(t);
  const file = path.join(t.testdir(), 'missing', 'starts');
  t.match(countStart({ ...options, file }), {
    number: 1,
    problem: /missing\/starts cannot be written.*ENOENT/,
  });
  t.match(countStart({ ...options, file }), { number: 2 });
  t.match(countStart(options), { number: 3, problem: undefined }, 'and counted on from there');
  const nowhere = { ...options, file, note: file };
  t.match(countStart(nowhere), { number: 1, problem: /could not be noted in .* nor in/ });
});

const isRoot = process.getuid?.() === 0;

void t.test('a full disk', { skip: !isRoot && 'a file system of its own needs root' }, async (t) => {
  const folder = t.testdir();
  const script = `
    import fs from 'node:fs';
    import { countStart } from ${JSON.stringify(new URL('../../../src/host/starts.js', import.meta.url))};
    const options = { file: 'disk/starts', note: 'note', segments: undefined };
    const starts = [countStart(options)];
    try { for (let i = 0; ; i++) fs.writeFileSync('disk/' + i, Buffer.alloc(4096)); } catch {}
    let full = false;
    try { fs.writeFileSync('disk/other', 'x'); } catch ({ code }) { full = code === 'ENOSPC'; }
    starts.push(countStart(options), countStart(options));
    console.log(JSON.stringify({ full, starts, kept: fs.readFileSync('disk/starts', 'utf8') }));`;
  // Nothing of this namespace is there when its process has ended.
  const words = [
    'mkdir disk && mount -t tmpfs -o size=64k tmpfs disk && exec "$0" --input-type=module -e "$1"',
    process.execPath,
    script,
  ];
  const unshared = ['--mount', '--propagation', 'private', 'sh', '-c', ...words];
  const { stdout, stderr } = spawnSync('unshare', unshared, { cwd: folder, encoding: 'utf8' });
  const start = (number: number) => ({ number });
  t.same(JSON.parse(stdout || JSON.stringify(stderr)), {
    full: true,
    starts: [1, 2, 3].map(start),
    kept: '3\n',
  });
});
