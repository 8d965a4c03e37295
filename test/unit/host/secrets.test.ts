import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { mountsBelow } from '../../../src/host/mounts.js';
import { Secrets } from '../../../src/host/secrets.js';
import { ended, line, script, startChildren } from './children-fixture.js';

const unprivileged = process.geteuid?.() === 0 ? false : 'mounting needs root';
const data = (text: string) => Buffer.from(text);

/** Secrets in a folder of their own, which is taken away with whatever is mounted there. */
function makeSecrets(t: Test, ...below: readonly string[]) {
  const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-secrets-'));
  const root = path.join(folder, ...below, 'secrets');
  const secrets = new Secrets(root);
  t.teardown(async () => {
    await secrets.adopt([]);
    rmSync(folder, { recursive: true });
  });
  return { secrets, root, folder };
}

void t.test('the secrets of a component lie on ramfs, for root alone', { skip: unprivileged }, async (t) => {
  const { secrets, root } = makeSecrets(t);
  await secrets.provide('kube.proxy', [
    { name: 'a.key', data: data('secret') },
    { name: 'b.crt', data: data('') },
  ]);
  const folder = secrets.folder('kube.proxy');
  t.match(mountsBelow(root), [{ point: root, type: 'ramfs' }]);
  t.equal(statSync(folder).mode & 0o777, 0o700);
  t.equal(statSync(path.dirname(folder)).mode & 0o777, 0o700);
  t.same(readdirSync(folder), ['a.key', 'b.crt']);
  t.equal(statSync(path.join(folder, 'a.key')).mode & 0o777, 0o400);
  t.equal(readFileSync(path.join(folder, 'a.key'), 'utf8'), 'secret');

  await secrets.provide('kube.proxy', [{ name: 'c.key', data: data('new') }]);
  t.same(readdirSync(folder), ['c.key'], 'a new start gets nothing of the old one');

  await secrets.provide('other', [{ name: 'x', data: data('x') }]);
  await secrets.remove('kube.proxy');
  t.notOk(existsSync(folder));
  t.equal(mountsBelow(root).length, 1, 'somebody else has secrets');
  await secrets.remove('other');
  t.same(mountsBelow(root), [], 'nobody has');
  await secrets.remove('kube.proxy');
});

void t.test('a child has its secrets for as long as it runs', { skip: unprivileged }, async (t) => {
  const { folder, children } = startChildren(t);
  const place = path.join(folder, 'secrets', 'a');
  const request = script('a', `cat ${place}/token; exec sleep 60`, {
    secrets: [{ name: 'token', data: data('secret\n') }],
  });
  await children.spawn(request);
  t.equal(await line(folder, 'a.1.out'), 'secret');
  children.signal('a', 'SIGKILL');
  await ended(children, 'a');
  t.notOk(existsSync(place), 'gone before anybody hears of the end');

  await t.rejects(children.spawn({ ...request, argv: ['/no/such/program'] }), { code: 'NOT_FOUND' });
  t.notOk(existsSync(place), 'and after a start that failed');
});

void t.test(
  'a new run goes on with secrets that a killed one has left, and takes the rest away',
  { skip: unprivileged },
  async (t) => {
    const { secrets: old, root } = makeSecrets(t);
    await old.provide('a', [{ name: 'x', data: data('x') }]);
    await old.provide('b', [{ name: 'x', data: data('x') }]);
    const secrets = new Secrets(root);
    await secrets.adopt(['b']);
    t.same(readdirSync(root), ['b']);
    t.same(
      secrets.changed('b', [
        { name: 'x', data: data('x') },
        { name: 'y', data: data('y') },
      ]),
      ['y'],
    );
    t.throws(() => secrets.changed('a', []), { code: 'NOT_FOUND' });
    await secrets.adopt([]);
    t.same(mountsBelow(root), []);
    t.same(readdirSync(root), []);
  },
);

void t.test('secrets never lie beside the mount', { skip: unprivileged }, async (t) => {
  const { secrets, root } = makeSecrets(t);
  mkdirSync(secrets.folder('a'));
  await secrets.provide('a', [{ name: 'x', data: data('x') }]);
  t.equal(mountsBelow(root).length, 1, 'a folder that was left without the mount is no obstacle');
  execFileSync('umount', [root]);
  await secrets.provide('b', [{ name: 'x', data: data('x') }]);
  t.equal(mountsBelow(root).length, 1, 'one that was taken away is made anew');
  execFileSync('umount', [root]);
  t.same(readdirSync(root), []);
});

void t.test(
  'those who come and go at once do not take the mount from each other',
  { skip: unprivileged },
  async (t) => {
    const { secrets } = makeSecrets(t);
    const names = Array.from({ length: 20 }, (_, i) => `c${i}`);
    await Promise.all(
      names.map(async (name) => {
        await secrets.provide(name, [{ name: 'x', data: data(name) }]);
        t.equal(readFileSync(path.join(secrets.folder(name), 'x'), 'utf8'), name);
        if (name !== 'c7') await secrets.remove(name);
      }),
    );
    t.same(secrets.changed('c7', [{ name: 'x', data: data('c7') }]), []);
  },
);

void t.test('mounts are found behind a link and with odd names', { skip: unprivileged }, async (t) => {
  const { folder } = makeSecrets(t, 'odd name');
  symlinkSync(path.join(folder, 'odd name'), path.join(folder, 'link'));
  const root = path.join(folder, 'link', 'sec\\rets');
  const secrets = new Secrets(root);
  await secrets.provide('a', [{ name: 'x', data: data('x') }]);
  t.equal(readFileSync(path.join(root, 'a', 'x'), 'utf8'), 'x');
  t.equal(mountsBelow(folder).length, 1);
  await secrets.remove('a');
  t.same(mountsBelow(folder), []);
});

void t.test('only plain names of files are taken', { skip: unprivileged }, async (t) => {
  const { secrets, root } = makeSecrets(t);
  for (const name of ['../x', 'a/b', '/etc/x']) {
    await t.rejects(secrets.provide('a', [{ name, data: data('x') }]), { code: 'INVALID_ARGUMENT' });
  }
  t.same(mountsBelow(root), [], 'nothing is mounted for them');
});
