import { generateKeyPairSync, sign, verify, createPublicKey } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { loadNodeIdentity, tracesOfKey } from '../../../src/platform/node-identity.js';

void t.test('a node gets a key at its first start and keeps it', async (t) => {
  const state = path.join(t.testdir(), 'state');
  const first = loadNodeIdentity(state);
  t.match(first.id, /^[0-9a-f]{64}$/);
  t.equal(first.name, `hamlet-${first.id.slice(0, 32)}`);
  t.equal(statSync(path.join(state, 'node.key')).mode & 0o777, 0o400);
  t.equal(statSync(state).mode & 0o777, 0o700);
  t.same(readdirSync(state), ['node.key'], 'nothing else is left behind');

  const second = loadNodeIdentity(state);
  t.equal(second.id, first.id);
  const message = Buffer.from('message');
  t.ok(verify(null, message, createPublicKey(first.privateKey), sign(null, message, second.privateKey)));
});

void t.test('the ID is the raw public key', async (t) => {
  const { id, privateKey } = loadNodeIdentity(t.testdir());
  // The last 32 octets of an ed25519 key's SubjectPublicKeyInfo (RFC 8410).
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  t.equal(id, spki.subarray(-32).toString('hex'));
});

void t.test('two nodes are two', async (t) => {
  t.not(loadNodeIdentity(t.testdir()).id, loadNodeIdentity(t.testdir()).id);
});

void t.test('a damaged or foreign key is refused and stays as it is', async (t) => {
  const pemOf = (type: 'x25519' | 'ed448') =>
    generateKeyPairSync(type as 'ed448')
      .privateKey.export({ type: 'pkcs8', format: 'pem' })
      .toString();
  const state = t.testdir();
  const file = path.join(state, 'node.key');
  loadNodeIdentity(state);
  const good = readFileSync(file, 'utf8');
  const cases = {
    'it is empty': '',
    'it is damaged': good.slice(0, good.length / 2),
    'of type x25519': pemOf('x25519'),
    'of type ed448': pemOf('ed448'),
    'it has 5000 bytes': good.padEnd(5_000),
  };
  for (const [problem, content] of Object.entries(cases)) {
    rmSync(file);
    writeFileSync(file, content, { mode: 0o400 });
    t.throws(() => loadNodeIdentity(state), { code: 'FAILED_PRECONDITION', message: problem });
    t.throws(() => loadNodeIdentity(state), { message: /hamlet reset/ });
    t.equal(readFileSync(file, 'utf8'), content);
  }
});

void t.test('a key that others may read is refused', async (t) => {
  const state = t.testdir();
  const file = path.join(state, 'node.key');
  loadNodeIdentity(state);
  for (const mode of [0o440, 0o404, 0o644]) {
    chmodSync(file, mode);
    t.throws(() => loadNodeIdentity(state), { code: 'FAILED_PRECONDITION', message: /chmod 0400/ });
  }
  chmodSync(file, 0o600);
  t.ok(loadNodeIdentity(state).id);
});

void t.test(
  'a key of another user is refused',
  { skip: process.geteuid?.() !== 0 && 'needs root' },
  async (t) => {
    const state = t.testdir();
    const file = path.join(state, 'node.key');
    const { id } = loadNodeIdentity(state);
    chownSync(file, 65534, 0);
    t.throws(() => loadNodeIdentity(state), { code: 'FAILED_PRECONDITION', message: /chown 0 / });
    chownSync(file, 0, 0);
    t.equal(loadNodeIdentity(state).id, id);
  },
);

void t.test('a key that is lost is not replaced where its node has left something', async (t) => {
  for (const left of ['etcd/member', 'pki/ca.crt']) {
    const state = path.join(t.testdir(), 'state');
    const traces = tracesOfKey({ etcd: path.join(state, 'etcd'), kubeletPki: path.join(state, 'pki') });
    const first = loadNodeIdentity(state, traces);
    mkdirSync(path.join(state, left), { recursive: true });
    t.equal(loadNodeIdentity(state, traces).id, first.id);
    const file = path.join(state, 'node.key');
    const key = readFileSync(file);
    rmSync(file);
    t.throws(() => loadNodeIdentity(state, traces), {
      code: 'FAILED_PRECONDITION',
      message: /node\.key is gone, .*from a backup, or give up .*"hamlet reset"/,
    });
    t.notOk(existsSync(file), 'nothing is made');
    writeFileSync(file, key, { mode: 0o400 });
    t.equal(loadNodeIdentity(state, traces).id, first.id);
  }
});

void t.test('a folder in its place is refused', async (t) => {
  const state = t.testdir({ 'node.key': {} });
  t.throws(() => loadNodeIdentity(state), { code: 'FAILED_PRECONDITION', message: /not a file/ });
});
