import { appendFileSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { pino } from 'pino';
import { HamletError } from '../../../src/lib/errors.js';
import { poll } from '../../../src/lib/time.js';
import { ImageImporter, type ListTags, type RunCommand } from '../../../src/workers/kubelet/images.js';
import { makeContext } from './context.js';

/** An importer on a folder of its own. What it runs is the test's; the real one is tried in test/node. */
function makeImporter(
  t: Test,
  importing: (file: string, signal: AbortSignal) => Promise<string> | string = () => '',
  tags: ListTags = async () => ['example.com/pause:1'],
) {
  const folder = path.join(t.testdir(), 'images');
  const tried: string[] = [];
  const logged: { level: number; msg: string; reason?: string }[] = [];
  const run: RunCommand = async (argv, signal) => {
    t.same(argv.slice(0, 6), [
      '/usr/bin/ctr',
      '-a',
      '/run/node/containerd/containerd.sock',
      '-n',
      'k8s.io',
      'images',
    ]);
    const file = path.basename(argv.at(-1) ?? '');
    tried.push(file);
    const problem = await importing(file, signal);
    return problem === '' ? { code: 0, output: '' } : { code: 1, output: problem };
  };
  mkdirSync(folder);
  writeFileSync(path.join(folder, '..', 'pause.tar'), 'pause');
  const context = makeContext({
    settings: { images: { dir: folder } },
    components: { pauseImage: { archive: path.join(folder, '..', 'pause.tar'), ref: 'pause' } },
  });
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const log = pino(
    {},
    { write: (line: string) => void logged.push(JSON.parse(line) as (typeof logged)[number]) },
  );
  const images = new ImageImporter(context, run, tags, log);
  const put = (name: string, content = name) => writeFileSync(path.join(folder, name), content);
  const errors = () => logged.filter(({ level }) => level >= 50);
  return { images, tried, errors, put, folder, stop };
}

const never = new AbortController().signal;
const until = (what: string, probe: () => boolean) =>
  poll(() => probe() || undefined, { everyMs: 5, timeoutMs: 10_000, what });

void t.test('at first the pause image is imported, then every archive in the folder, in order', async (t) => {
  const { images, tried, put, stop } = makeImporter(t);
  for (const name of ['b.tar', 'a.tar.gz', 'c.tgz', 'notes.txt', '.hidden.tar', 'tar']) put(name);
  images.start(stop.signal);
  await images.imported(never);
  t.same(tried, ['pause.tar', 'a.tar.gz', 'b.tar', 'c.tgz']);
});

void t.test('a pause image that containerd has is not imported again', async (t) => {
  const there = makeImporter(
    t,
    () => '',
    async () => ['other', 'pause'],
  );
  there.put('a.tar');
  there.images.start(there.stop.signal);
  await there.images.imported(never);
  t.same(there.tried, ['a.tar'], 'what a person has put there is, for it may have changed');
});

void t.test('where nobody knows whether containerd has the pause image it is imported', async (t) => {
  const { images, tried, stop } = makeImporter(
    t,
    () => '',
    () => Promise.reject(new HamletError('UNAVAILABLE', 'no answer')),
  );
  images.start(stop.signal);
  await images.imported(never);
  t.same(tried, ['pause.tar']);
});

void t.test('what is added or replaced later is imported, and nothing twice', async (t) => {
  const { images, tried, put, folder, stop } = makeImporter(t);
  put('a.tar');
  images.start(stop.signal);
  await images.imported(never);
  put('b.tar');
  await until('b', () => tried.includes('b.tar'));
  put('.c.tar.part', 'c');
  renameSync(path.join(folder, '.c.tar.part'), path.join(folder, 'c.tar'));
  await until('c', () => tried.includes('c.tar'));
  put('a.tar', 'another one');
  await until('a again', () => tried.length === 5);
  t.same(tried, ['pause.tar', 'a.tar', 'b.tar', 'c.tar', 'a.tar']);
});

void t.test('a broken archive is named and does not stop the others', async (t) => {
  const { images, tried, errors, put, stop } = makeImporter(t, (file) =>
    file === 'broken.tar' ? 'usage\n\nctr: archive/tar: invalid tar header\n' : '',
  );
  for (const name of ['a.tar', 'broken.tar', 'c.tar']) put(name);
  images.start(stop.signal);
  await images.imported(never);
  t.same(tried, ['pause.tar', 'a.tar', 'broken.tar', 'c.tar']);
  t.match(errors(), [
    { msg: /broken\.tar was not imported$/, reason: /ctr: archive\/tar: invalid tar header/ },
  ]);
  t.equal(errors().length, 1);
  put('d.tar');
  await until('d', () => tried.includes('d.tar'));
  t.equal(tried.filter((name) => name === 'broken.tar').length, 1, 'it is not tried again before it changes');
  put('broken.tar', 'mended');
  await until('the mended one', () => tried.filter((name) => name === 'broken.tar').length === 2);
});

void t.test('what failed is tried again when containerd comes back, and only that', async (t) => {
  let isUp = false;
  const { images, tried, put, stop } = makeImporter(t, (file) => {
    if (file === 'a.tar' && !isUp) throw new HamletError('UNAVAILABLE', 'containerd has gone away');
    return '';
  });
  put('a.tar');
  put('b.tar');
  images.start(stop.signal);
  await images.imported(never);
  t.same(tried.splice(0), ['pause.tar', 'a.tar', 'b.tar']);
  isUp = true;
  images.start(stop.signal);
  await until('a', () => tried.length > 0);
  images.start(stop.signal);
  put('c.tar');
  await until('c', () => tried.includes('c.tar'));
  t.same(tried, ['a.tar', 'c.tar']);
});

void t.test('a file that is still being written is imported when it is all there', async (t) => {
  let length = 0;
  const { images, tried, errors, put, folder, stop } = makeImporter(t, (file) => {
    // It grows under the import, as under a slow copy.
    if (file === 'slow.tar' && length++ === 0) {
      appendFileSync(path.join(folder, 'slow.tar'), 'the rest');
      return 'unexpected EOF';
    }
    return '';
  });
  put('slow.tar', 'half');
  images.start(stop.signal);
  await images.imported(never);
  await until('the whole', () => tried.filter((name) => name === 'slow.tar').length === 2);
  t.same(errors(), [], 'that is no error');
});

void t.test('files that come in a burst make one pass', async (t) => {
  const { images, tried, put, stop } = makeImporter(t);
  images.start(stop.signal);
  await images.imported(never);
  for (let index = 0; index < 20; index++) put(`${String(index).padStart(2, '0')}.tar`);
  await until('all of them', () => tried.length === 21);
  t.equal(new Set(tried).size, 21);
});

void t.test('a wait for the first import ends with its signal, and a stop ends the import', async (t) => {
  const { images, put, tried, errors, stop } = makeImporter(t, (_file, signal) => {
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  });
  put('a.tar');
  images.start(stop.signal);
  const given = new AbortController();
  const wait = images.imported(given.signal);
  given.abort(new Error('given up'));
  await t.rejects(wait, { message: 'given up' });
  stop.abort(new Error('stopped'));
  await images.imported(never);
  t.same(tried, ['pause.tar'], 'the rest waits for the next start');
  t.same(errors(), []);
});

void t.test('odd things in the folder, and its end, do no harm', async (t) => {
  const { images, tried, errors, put, folder, stop } = makeImporter(t, (file) =>
    file === 'folder.tar' ? 'is a directory' : '',
  );
  mkdirSync(path.join(folder, 'folder.tar'));
  symlinkSync('/no/such/file', path.join(folder, 'dangling.tar'));
  symlinkSync('loop.tar', path.join(folder, 'loop.tar'));
  put('a.tar');
  images.start(stop.signal);
  await images.imported(never);
  t.same(tried, ['pause.tar', 'a.tar', 'folder.tar']);
  rmSync(folder, { recursive: true });
  images.start(stop.signal);
  await until('the report', () => errors().some(({ msg }) => msg.includes('cannot be listed')));
});
