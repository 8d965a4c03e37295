import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { JobPool } from '../../../src/jobs/pool.js';
import { isHamletError } from '../../../src/lib/errors.js';
import { defaultLifetimes } from '../../../src/platform/lifetimes.js';
import { issueClient, issueLeaves } from '../../../src/workers/certs/issue.js';
import {
  certificateKey,
  notAfterMs,
  notBeforeMs,
  parseAuthorities,
  parsePki,
  privateKeyKey,
  type PkiValues,
} from '../../../src/workers/certs/pki.js';
import { staleLeaves } from '../../../src/workers/certs/stale.js';
import {
  authorityNames,
  backdatedMs,
  client,
  leafNames,
  leafProfiles,
  successorOf,
  type NodeFacts,
} from '../../../src/workers/certs/profiles.js';
import { facts, freshPki, never, valueOf } from './fixtures.js';

const nowMs = Date.now();
const values = await freshPki(nowMs);
const pki = parsePki(values, facts, nowMs);

/** What parsePki throws for these values. */
function problemOf(changed: PkiValues, node = facts, atMs = nowMs) {
  try {
    parsePki(changed, node, atMs);
  } catch (error) {
    if (isHamletError(error)) return error;
    throw error;
  }
  throw new Error('nothing is wrong with it');
}

function altered(...entries: [string, Uint8Array][]): PkiValues {
  return new Map([...values, ...entries]);
}

void t.test('OpenSSL verifies every chain for its purpose and for no other', async (t) => {
  const folder = t.testdir();
  const writeDer = (name: string, certificate: Uint8Array): string => {
    const file = path.join(folder, `${name}.pem`);
    writeFileSync(file, new X509Certificate(certificate).toString());
    return file;
  };
  const write = (name: string): string => writeDer(name, valueOf(values, certificateKey(name)));
  const verify = (purpose: string, authority: string, leaf: string) =>
    spawnSync('openssl', ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', authority, leaf], {
      encoding: 'utf8',
    });
  const profiles = leafProfiles(facts);
  for (const name of leafNames) {
    const { issuer, usage } = profiles[name];
    const [right, wrong] = usage === 'serving' ? ['sslserver', 'sslclient'] : ['sslclient', 'sslserver'];
    const leaf = write(name);
    const good = verify(right, write(issuer), leaf);
    t.equal(good.status, 0, `${name}: ${good.stdout}${good.stderr}`);
    t.not(verify(wrong, write(issuer), leaf).status, 0, `${name} is not good as ${wrong}`);
    const other = issuer === 'id-ca' ? 'aggregation-ca' : 'id-ca';
    t.not(verify(right, write(other), leaf).status, 0, `${name} is not good under ${other}`);
  }
  for (const name of authorityNames) {
    for (const [itself, other] of [
      [name, successorOf(name)],
      [successorOf(name), name],
    ] as const) {
      const good = verify('any', write(itself), write(itself));
      t.equal(good.status, 0, `${itself}: ${good.stdout}${good.stderr}`);
      t.not(verify('any', write(other), write(itself)).status, 0, `${itself} is not of ${other}`);
      for (const purpose of ['sslserver', 'sslclient'])
        t.not(verify(purpose, write(itself), write(itself)).status, 0, `${itself} is no ${purpose}`);
    }
  }
  await using jobs = new JobPool();
  for (const issuer of ['id-ca', 'debug-ca'] as const) {
    const profile = { ...client('jane', ['hamlet:debug-read']), issuer };
    const times = { nowMs, lifetimeMs: 3_600_000 };
    const { certificate } = await issueClient(jobs, pki.authorities, profile, times, never);
    const jane = writeDer(`jane-of-${issuer}`, certificate);
    const good = verify('sslclient', write(issuer), jane);
    t.equal(good.status, 0, `a debug client of ${issuer}: ${good.stdout}${good.stderr}`);
    t.not(verify('sslserver', write(issuer), jane).status, 0, 'who is no server');
    for (const other of authorityNames.filter((name) => name !== issuer))
      t.not(verify('sslclient', write(other), jane).status, 0, `a client of ${issuer} is none of ${other}`);
  }
});

void t.test('certificates live as long as they should', async (t) => {
  for (const [credential, lifetimeMs] of [
    [pki.authorities['id-ca'], defaultLifetimes.authorityMs],
    [pki.leaves.apiserver, defaultLifetimes.leafMs],
  ] as const) {
    const wholeSeconds = (ms: number) => Math.floor(ms / 1_000) * 1_000;
    t.equal(notBeforeMs(credential.certificate), wholeSeconds(nowMs - backdatedMs));
    t.equal(notAfterMs(credential.certificate), wholeSeconds(nowMs + lifetimeMs));
  }
});

void t.test('a PKI with a part missing or damaged is refused by the name of the key', async (t) => {
  for (const key of values.keys()) {
    const without = new Map(values);
    without.delete(key);
    t.match(problemOf(without), { code: 'DATA_LOSS', message: `${key} is missing` });
    for (const rubbish of [Buffer.alloc(0), Buffer.from('rubbish'), valueOf(values, key).subarray(0, -1)]) {
      t.match(problemOf(altered([key, rubbish])), { code: 'DATA_LOSS', details: { key } });
    }
  }
  t.match(problemOf(new Map()).message, /hamlet reset/, 'the message says what to do');
});

void t.test('parts that do not belong together are refused', async (t) => {
  const other = await freshPki(nowMs);
  const swap = (source: PkiValues, from: string, to: string) =>
    altered(
      [certificateKey(to), valueOf(source, certificateKey(from))],
      [privateKeyKey(to), valueOf(source, privateKeyKey(from))],
    );
  const key = privateKeyKey('apiserver');
  t.match(problemOf(altered([key, valueOf(values, privateKeyKey('master'))])), { details: { key } });
  t.match(problemOf(swap(other, 'apiserver', 'apiserver')).message, /is not issued by id-ca/);
  t.match(problemOf(swap(other, 'id-ca', 'id-ca')).message, /apiserver.crt is not issued by id-ca/);
  t.match(problemOf(swap(values, 'apiserver', 'id-ca')).message, /not a self-signed authority/);
  t.match(problemOf(swap(values, 'master', 'front-proxy-client')).message, /not issued by aggregation-ca/);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const serviceAccount = privateKeyKey('service-account');
  const ec = privateKey.export({ type: 'pkcs8', format: 'der' });
  t.match(problemOf(altered([serviceAccount, ec])), { details: { key: serviceAccount } });
});

void t.test('the PKI of another node, or one whose authority has expired, is refused', async (t) => {
  const stranger = { ...facts, nodeName: `hamlet-${'f'.repeat(32)}` };
  t.match(problemOf(values, stranger), { code: 'FAILED_PRECONDITION', message: /belongs to another node/ });
  const end = nowMs + defaultLifetimes.authorityMs;
  t.match(problemOf(values, facts, end), { code: 'FAILED_PRECONDITION', message: /expired/ });
});

function stale(node: NodeFacts, atMs: number, of: PkiValues = values) {
  return staleLeaves(of, parseAuthorities(of, node, atMs), node, atMs, defaultLifetimes);
}

void t.test('a leaf that is not there is to be issued, one that is half there is damaged', async (t) => {
  const without = new Map(values);
  without.delete(certificateKey('master'));
  t.throws(() => stale(facts, nowMs, without), { code: 'DATA_LOSS', message: /master.crt is missing/ });
  without.delete(privateKeyKey('master'));
  t.same([...stale(facts, nowMs, without)], [['master', 'there is none']]);
});

void t.test('leaves become stale by age and by what they are for', async (t) => {
  t.equal(stale(facts, nowMs).size, 0);
  const dueMs = nowMs + (defaultLifetimes.leafMs * 2) / 3;
  t.equal(stale(facts, dueMs - 2_000).size, 0, 'not before two thirds of the life');
  t.equal(stale(facts, dueMs + 2_000).size, leafNames.length, 'all after it');
  t.match(stale(facts, nowMs + defaultLifetimes.leafMs).get('master'), /expired/);

  const namesIn = (changes: Partial<typeof facts>) => [...stale({ ...facts, ...changes }, nowMs).keys()];
  const servers = ['controller-manager-server', 'scheduler-server', 'kubelet-server', 'debug-server'];
  const withAddress = ['apiserver', ...servers];
  t.same(namesIn({ nodeAddresses: ['192.0.2.8'] }), withAddress);
  t.same(namesIn({ nodeAddresses: [] }), withAddress);
  t.same(namesIn({ nodeAddresses: [...facts.nodeAddresses, '2001:db8::1'] }), withAddress);
  t.same(namesIn({ firstServiceIp: '10.97.0.1' }), ['apiserver']);
  t.same(namesIn({ clusterDomain: 'example.org' }), ['apiserver']);
});

void t.test(
  'a leaf that is issued anew fits the old PKI, and ends no later than its authority',
  async (t) => {
    await using jobs = new JobPool();
    const moved = { ...facts, nodeAddresses: ['192.0.2.8', '2001:db8::1'] };
    const lateMs = nowMs + defaultLifetimes.authorityMs - 1_000;
    for (const atMs of [nowMs, lateMs]) {
      const fresh = await issueLeaves(jobs, pki.authorities, ['apiserver'], moved, atMs, never);
      t.same([...fresh.keys()], [certificateKey('apiserver'), privateKeyKey('apiserver')]);
      const all = new Map([...values, ...fresh]);
      const renewed = parsePki(all, moved, atMs);
      const { certificate } = renewed.leaves.apiserver;
      t.ok(notAfterMs(certificate) <= notAfterMs(pki.authorities['id-ca'].certificate));
      t.equal(certificate.checkIP('192.0.2.8'), '192.0.2.8');
      t.equal(certificate.checkIP('2001:db8::1'), '2001:db8::1');
      t.not(certificate.fingerprint256, pki.leaves.apiserver.certificate.fingerprint256);
      t.notOk(stale(moved, atMs, all).has('apiserver'), 'and has the names that are asked for');
    }
  },
);
