import t from 'tap';
import { defaultLifetimes } from '../../src/platform/lifetimes.js';
import { parsePki } from '../../src/workers/certs/pki.js';
import { staleLeaves } from '../../src/workers/certs/stale.js';
import { authorityNames, leafNames } from '../../src/workers/certs/profiles.js';
import { facts, freshPki, never } from '../unit/certs/fixtures.js';
import { TestEtcd } from './certs-etcd.js';
import { bootstrap, fingerprints, pkiSize, valuesIn } from './certs-helpers.js';

t.setTimeout(120_000);

void t.test('the first start issues a PKI in one transaction, the second nothing', async (t) => {
  await using etcd = await TestEtcd.start();
  const before = await etcd.revision();
  const first = await bootstrap(etcd);
  t.equal(await etcd.revision(), before + 1);
  t.equal((await valuesIn(etcd)).size, pkiSize);

  const second = await bootstrap(etcd);
  t.same(fingerprints(second), fingerprints(first));
  t.ok(second.serviceAccountKey.equals(first.serviceAccountKey));
  t.equal(await etcd.revision(), before + 1);

  await etcd.kill();
  await etcd.start();
  t.same(fingerprints(await bootstrap(etcd)), fingerprints(first), 'nor after a power cut');
});

void t.test('a prepared PKI is used when there is none, and only then', async (t) => {
  await using etcd = await TestEtcd.start();
  const values = await freshPki();
  const first = await bootstrap(etcd, { prepared: Promise.resolve(values) });
  t.same(fingerprints(first), fingerprints(parsePki(values, facts, Date.now())));
  const second = await bootstrap(etcd, { prepared: freshPki() });
  t.same(fingerprints(second), fingerprints(first));
});

void t.test('of two that begin at once, both end with the same PKI', async (t) => {
  await using etcd = await TestEtcd.start();
  const before = await etcd.revision();
  const [one, other] = await Promise.all([
    bootstrap(etcd, { prepared: freshPki() }),
    bootstrap(etcd, { prepared: freshPki() }),
  ]);
  t.same(fingerprints(one), fingerprints(other));
  t.equal(await etcd.revision(), before + 1);
});

void t.test('an address that changed gives new servers’ certificates in one transaction', async (t) => {
  await using etcd = await TestEtcd.start();
  const first = await bootstrap(etcd);
  const before = await etcd.revision();
  const moved = { ...facts, nodeAddresses: ['192.0.2.99'] };
  const second = await bootstrap(etcd, { facts: moved });
  t.equal(await etcd.revision(), before + 1);
  const was = fingerprints(first);
  const changed = Object.entries(fingerprints(second)).flatMap(([name, now]) =>
    was[name] === now ? [] : name,
  );
  const servers = [
    'apiserver',
    'controller-manager-server',
    'scheduler-server',
    'kubelet-server',
    'debug-server',
  ];
  t.same(changed, servers);
  t.same(fingerprints(await bootstrap(etcd, { facts: moved })), fingerprints(second));
});

void t.test('leaves past two thirds of their life are issued anew', async (t) => {
  await using etcd = await TestEtcd.start();
  const first = await bootstrap(etcd);
  const laterMs = Date.now() + defaultLifetimes.leafMs * 0.7;
  const second = await bootstrap(etcd, { now: () => laterMs });
  for (const name of leafNames) t.not(fingerprints(second)[name], fingerprints(first)[name], name);
  for (const name of authorityNames) t.equal(fingerprints(second)[name], fingerprints(first)[name], name);
  t.equal(staleLeaves(await valuesIn(etcd), second.authorities, facts, laterMs, defaultLifetimes).size, 0);
});

void t.test('a damaged PKI is refused and left as it is', async (t) => {
  await using etcd = await TestEtcd.start();
  await bootstrap(etcd);
  await etcd.put('/kube-pki/scheduler-client.key', Buffer.from('rubbish'));
  const before = await etcd.revision();
  await t.rejects(bootstrap(etcd), {
    code: 'DATA_LOSS',
    message: /\/kube-pki\/scheduler-client\.key is not a private key; .*hamlet reset/,
  });
  await etcd.delete('/kube-pki/scheduler-client.key');
  await t.rejects(bootstrap(etcd), { code: 'DATA_LOSS', message: /scheduler-client\.key is missing/ });
  t.equal(await etcd.revision(), before + 1, 'only what the test did');
});

void t.test('keys beside the PKI are not part of it', async (t) => {
  await using etcd = await TestEtcd.start();
  for (const key of ['/kube-pki', '/kube-pki.crt', '/kube-pki0', '/registry/secrets/a']) {
    await etcd.put(key, Buffer.from('x'));
  }
  t.equal((await valuesIn(etcd)).size, 0);
  await bootstrap(etcd);
  t.equal((await valuesIn(etcd)).size, pkiSize);
});

void t.test('a call to an etcd that does not answer ends with the signal', async (t) => {
  await using etcd = await TestEtcd.start();
  await using store = etcd.store();
  await etcd.kill();
  const controller = new AbortController();
  const read = store.read(controller.signal);
  controller.abort(new Error('enough'));
  await t.rejects(read, { message: 'enough' });
  await t.rejects(store.read(never), { code: 'UNAVAILABLE' });
});
