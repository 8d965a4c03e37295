import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { NodeKeySealer } from '../../../src/platform/sealer.js';
import { keep, KeptCredentials } from '../../../src/workers/kubelet/kept-credentials.js';

const hourMs = 3_600_000;
const name = 'kube.apiserver';
const place = `${name}.credentials`;

/** A certificate that is valid for a day from now on, and what goes with it. */
function credentials(folder: string) {
  const [key, crt] = [path.join(folder, 'tls.key'), path.join(folder, 'tls.crt')];
  const subject = ['-subj', '/CN=kube-apiserver', '-days', '1', '-nodes'];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ed25519', '-keyout', key, '-out', crt, ...subject], {
    stdio: 'ignore',
  });
  return [
    { name: 'tls.crt', data: readFileSync(crt) },
    { name: 'tls.key', data: readFileSync(key) },
    { name: 'encryption.json', data: Buffer.from('{}') },
  ];
}

function start(t: Test) {
  const folder = path.join(t.testdir(), 'state');
  mkdirSync(folder);
  const files = credentials(path.dirname(folder));
  const key = randomBytes(32);
  const facts = ['hamlet-1', '192.0.2.7'];
  const open = (overrides: { key?: Uint8Array; facts?: string[]; nowMs?: number } = {}) =>
    new KeptCredentials({
      folder,
      sealer: new NodeKeySealer(overrides.key ?? key),
      facts: overrides.facts ?? facts,
      now: () => overrides.nowMs ?? Date.now(),
    });
  return { folder, files, open, file: path.join(folder, place) };
}

void t.test('what is kept is read by the next one, and by nobody else', async (t) => {
  const { folder, files, open, file } = start(t);
  t.equal(open().read(name), undefined, 'there is nothing yet');
  open().keep(name, files);
  t.match(open().read(name), files);
  t.equal(statSync(file).mode & 0o777, 0o400);
  t.same(readdirSync(folder), [place]);
  const text = readFileSync(file);
  for (const { data } of files) {
    t.notOk(text.includes(data));
    t.notOk(text.includes(data.toString('base64').slice(0, 40)));
  }
  t.equal(open({ key: randomBytes(32) }).read(name), undefined, "another node's key");
  t.equal(open({ facts: ['hamlet-1', '192.0.2.8'] }).read(name), undefined, 'another address');
  t.equal(open().read('etcd'), undefined, 'another component');
});

void t.test('certificates that are not valid, or not for long, are not used', async (t) => {
  const { files, open } = start(t);
  open().keep(name, files);
  t.equal(open({ nowMs: Date.now() - hourMs }).read(name), undefined, 'not yet');
  t.ok(open({ nowMs: Date.now() + 23 * hourMs }).read(name));
  t.equal(open({ nowMs: Date.now() + 24 * hourMs - 60_000 }).read(name), undefined, 'for a minute');
  t.equal(open({ nowMs: Date.now() + 25 * hourMs }).read(name), undefined, 'no more');
});

void t.test(
  'a file that is damaged is passed over, and made whole by the next one that is kept',
  async (t) => {
    const { files, open, file } = start(t);
    open().keep(name, files);
    const whole = readFileSync(file);
    for (const damaged of [
      Buffer.alloc(0),
      whole.subarray(0, -1),
      Buffer.from('{}'),
      randomBytes(whole.length),
    ]) {
      rmSync(file);
      writeFileSync(file, damaged);
      t.equal(open().read(name), undefined);
    }
    const kept = open();
    kept.read(name);
    kept.keep(name, files);
    t.match(open().read(name), files);
  },
);

void t.test('what is kept already is not written again', async (t) => {
  const { files, open, file } = start(t);
  open().keep(name, files);
  const { ino } = statSync(file);
  const kept = open();
  kept.read(name);
  kept.keep(name, files);
  t.equal(statSync(file).ino, ino);
  kept.keep(name, files.slice(1));
  t.not(statSync(file).ino, ino);
  t.match(open().read(name), files.slice(1));
});

void t.test('what cannot be kept is told of, and no reason not to start', async (t) => {
  const { files, open, folder } = start(t);
  rmSync(folder, { recursive: true });
  const told: string[] = [];
  keep(open(), name, files, { warn: (_: unknown, message?: string) => told.push(message ?? '') });
  t.match(told, [/^the credentials of kube\.apiserver were not kept: ENOENT/]);
});
