import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { SealedStore } from '../../src/workers/certs/sealed-store.js';
import { isSealed, NodeKeySealer } from '../../src/platform/sealer.js';
import { TestEtcd } from './certs-etcd.js';
import { bootstrap, fingerprints, pkiSize, valuesIn } from './certs-helpers.js';
import { never, valueOf } from '../unit/certs/fixtures.js';

t.setTimeout(120_000);

const sealer = new NodeKeySealer(randomBytes(32));

/** Every file below a folder, as one. */
function contents(folder: string): Buffer {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) =>
    path.join(folder, name),
  );
  return Buffer.concat(files.filter((file) => statSync(file).isFile()).map((file) => readFileSync(file)));
}

void t.test('no private key lies in etcd’s folder in plain', async (t) => {
  await using etcd = await TestEtcd.start();
  await using store = etcd.store();
  const sealed = new SealedStore(store, sealer);
  const pki = await bootstrap(etcd, { store: sealed });
  const { values } = await sealed.read(never);
  t.equal(values.size, pkiSize);
  const disk = contents(etcd.folder);
  for (const [name, value] of values) {
    t.equal(
      disk.includes(Buffer.from(value)),
      name.endsWith('.crt'),
      `${name} ${name.endsWith('.crt') ? 'is' : 'is not'} there`,
    );
  }
  t.same(fingerprints(await bootstrap(etcd, { store: sealed })), fingerprints(pki), 'and it is found again');

  const stranger = new SealedStore(store, new NodeKeySealer(randomBytes(32)));
  await t.rejects(bootstrap(etcd, { store: stranger }), {
    code: 'FAILED_PRECONDITION',
    message: /cannot be opened with this node's key.*hamlet reset/,
  });
});

void t.test('keys that were left in plain are sealed when they are first read', async (t) => {
  await using etcd = await TestEtcd.start();
  await using store = etcd.store();
  const plain = await bootstrap(etcd);
  const before = await etcd.revision();
  const sealed = new SealedStore(store, sealer);
  t.same(fingerprints(await bootstrap(etcd, { store: sealed })), fingerprints(plain));
  t.equal(await etcd.revision(), before + 1, 'in one transaction');
  for (const [name, value] of await valuesIn(etcd)) t.equal(isSealed(value), name.endsWith('.key'), name);
  await bootstrap(etcd, { store: sealed });
  t.equal(await etcd.revision(), before + 1, 'once');
});

void t.test('a key in another one’s place is refused', async (t) => {
  await using etcd = await TestEtcd.start();
  await using store = etcd.store();
  const sealed = new SealedStore(store, sealer);
  await bootstrap(etcd, { store: sealed });
  await etcd.put('/kube-pki/master.key', valueOf(await valuesIn(etcd), '/kube-pki/id-ca.key'));
  await t.rejects(sealed.read(never), { code: 'FAILED_PRECONDITION', message: /master\.key/ });
});
