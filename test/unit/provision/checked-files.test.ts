import { readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { poll } from '../../../src/lib/time.js';
import { CheckedFiles } from '../../../src/provision/checked-files.js';

void t.test('a file is compared once, until anybody writes to it', async (t) => {
  const folder = t.testdir({ kube: 'as it was built' });
  const file = path.join(folder, 'kube');
  const record = path.join(folder, 'checked.json');
  const check = async (): Promise<boolean> => {
    const checked = new CheckedFiles(record);
    if (checked.has(file)) return false;
    let compared = false;
    await checked.check(file, async () => void (compared = true));
    return compared;
  };
  t.ok(await check(), 'it was never compared');
  t.notOk(await check(), 'it has been');
  t.equal(statSync(record).mode & 0o777, 0o600);

  const { atime, mtime } = statSync(file);
  const changed = () => statSync(file, { bigint: true }).ctimeNs;
  const before = changed();
  // The kernel's clock for files has ticks of some milliseconds.
  const alter = (): true | undefined => {
    writeFileSync(file, 'as it WAS built');
    utimesSync(file, atime, mtime);
    return changed() !== before || undefined;
  };
  await poll(alter, { everyMs: 1, timeoutMs: 10_000, what: 'another time' });
  t.ok(await check(), 'with the size and the time that it had before');

  writeFileSync(path.join(folder, 'other'), readFileSync(file));
  renameSync(path.join(folder, 'other'), file);
  t.ok(await check(), 'another file in its place');

  const { boot, files } = JSON.parse(readFileSync(record, 'utf8')) as { boot: string; files: object };
  for (const content of [JSON.stringify({ boot: 'another one', files }), '{', '']) {
    writeFileSync(record, content);
    t.ok(await check(), `a record that is not believed: ${content.slice(0, 12)}`);
  }
  t.match(JSON.parse(readFileSync(record, 'utf8')), { boot }, 'and is mended');
});

void t.test('what is not what was built is never remembered', async (t) => {
  const folder = t.testdir({ kube: 'altered' });
  const file = path.join(folder, 'kube');
  const checked = new CheckedFiles(path.join(folder, 'checked.json'));
  const fail = () => Promise.reject(new Error('not what was built'));
  await t.rejects(checked.check(file, fail), { message: 'not what was built' });
  t.notOk(checked.has(file));
  rmSync(file);
  t.throws(() => checked.has(file), { code: 'ENOENT' });
});

void t.test('a record that cannot be written costs only another comparison', async (t) => {
  const folder = t.testdir({ kube: 'as it was built' });
  const file = path.join(folder, 'kube');
  const checked = new CheckedFiles(path.join(folder, 'nosuch', 'checked.json'));
  await checked.check(file, async () => undefined);
  t.ok(checked.has(file));
});
