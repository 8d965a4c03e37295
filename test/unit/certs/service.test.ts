import { createPrivateKey, X509Certificate } from 'node:crypto';
import path from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { setDeadline } from '../../../src/ipc/deadline.js';
import { JobPool } from '../../../src/jobs/pool.js';
import { HamletError } from '../../../src/lib/errors.js';
import { workerNames } from '../../../src/lib/names.js';
import { defaultLifetimes } from '../../../src/platform/lifetimes.js';
import { AuditTrail } from '../../../src/workers/certs/audit.js';
import { bundle } from '../../../src/workers/certs/credentials.js';
import { notAfterMs, notBeforeMs, parsePki } from '../../../src/workers/certs/pki.js';
import { backdatedMs } from '../../../src/workers/certs/profiles.js';
import { RotationControl } from '../../../src/workers/certs/rotation-control.js';
import { CertsService } from '../../../src/workers/certs/service.js';
import { facts, freshPki, never, valueOf } from './fixtures.js';
import { lint } from './rfc5280.js';

const jobs = new JobPool();
t.teardown(() => jobs[Symbol.asyncDispose]());
const nowMs = Date.now();
const values = await freshPki(nowMs);
const pki = parsePki(values, facts, nowMs);

const caller = { transport: 'unix', uid: 1001, pid: 4711 } as const;
const everybody = { allowMasters: true, identities: ['*'] };
const folder = t.testdir();

function newService(policy = everybody, rotation = new RotationControl(0)): CertsService {
  return new CertsService({
    jobs,
    apiserverPort: 6443,
    lifetimes: defaultLifetimes,
    facts,
    policy,
    audit: new AuditTrail(path.join(folder, 'audit.jsonl')),
    now: () => nowMs,
    rotation,
    secretsFolder: '/run/secrets',
    checkSecrets: async () => 'done',
  });
}

function readyService(): CertsService {
  const service = newService();
  service.state = { kind: 'ready', pki };
  return service;
}

const debug = { signal: never, source: 'debug' };
const kubelet = { signal: never, source: 'kubelet' };

function certificateOf(kubeconfig: string): X509Certificate {
  const { users } = parse(kubeconfig) as { users: [{ user: Record<string, string> }] };
  return new X509Certificate(Buffer.from(users[0].user['client-certificate-data'] ?? '', 'base64'));
}

void t.test('each method is for its callers alone', async (t) => {
  const { handlers } = readyService();
  const allowed: Record<string, string[]> = {
    credentials: ['kubelet', 'reconciler'],
    debugCredentials: ['debug'],
    debugKubeconfig: ['debug'],
    debugClient: ['debug'],
  };
  for (const source of ['main', 'somebody', ...workerNames]) {
    const context = { signal: never, source };
    const calls: Record<string, () => Promise<unknown>> = {
      credentials: async () => handlers.credentials({ holder: 'master' }, context),
      debugCredentials: async () => handlers.credentials({ holder: 'debug' }, context),
      debugKubeconfig: async () => handlers.debugKubeconfig({ id: 'a', groups: [], caller }, context),
      debugClient: async () => handlers.debugClient({ name: 'a', role: 'read', caller }, context),
    };
    for (const [method, call] of Object.entries(calls)) {
      if (allowed[method]?.includes(source)) await t.resolves(call, `${source} may call ${method}`);
      else await t.rejects(call, { code: 'PERMISSION_DENIED' }, `${source} may not call ${method}`);
    }
  }
});

void t.test('credentials wait for the PKI', async (t) => {
  const service = newService();
  const files = Promise.resolve(service.handlers.credentials({ holder: 'master' }, kubelet));
  service.state = { kind: 'waiting', reason: 'WaitingForEtcd', message: 'waits for etcd at /there' };
  service.state = { kind: 'ready', pki };
  t.equal((await files).files.length, 3);
});

void t.test('a wait that is too long says what is waited for, before the caller gives up', async (t) => {
  const service = newService();
  service.state = { kind: 'waiting', reason: 'WaitingForEtcd', message: 'waits for etcd at /there' };
  const { signal } = new AbortController();
  const deadlineAt = performance.now() + 300;
  setDeadline(signal, deadlineAt);
  await t.rejects(async () => service.handlers.credentials({ holder: 'master' }, { ...kubelet, signal }), {
    code: 'UNAVAILABLE',
    message: 'there is no PKI yet: waits for etcd at /there',
  });
  t.ok(performance.now() < deadlineAt);

  const gone = AbortSignal.abort();
  await t.rejects(async () =>
    service.handlers.credentials({ holder: 'master' }, { ...kubelet, signal: gone }),
  );
});

void t.test('debugKubeconfig does not wait', async (t) => {
  const { handlers } = newService();
  await t.rejects(async () => handlers.debugKubeconfig({ id: 'a', groups: [], caller }, debug), {
    code: 'UNAVAILABLE',
    message: /the certs worker is starting/,
  });
});

void t.test('a refused PKI is told to everybody at once', async (t) => {
  const service = newService();
  const waiting = Promise.resolve(service.handlers.credentials({ holder: 'master' }, kubelet));
  service.state = { kind: 'refused', error: new HamletError('DATA_LOSS', 'the PKI is damaged') };
  await t.rejects(waiting, { code: 'DATA_LOSS', message: 'the PKI is damaged' });
  await t.rejects(async () => service.handlers.debugKubeconfig({ id: 'a', groups: [], caller }, debug), {
    code: 'DATA_LOSS',
  });
  t.match(service.condition, { name: 'PKIReady', status: 'false', reason: 'Refused', message: /damaged/ });
});

void t.test('the condition follows the state', async (t) => {
  const service = newService();
  t.match(service.condition, { status: 'false', reason: 'Starting' });
  service.state = { kind: 'waiting', reason: 'WaitingForEtcd', message: 'waits' };
  t.same(service.condition, {
    name: 'PKIReady',
    status: 'false',
    reason: 'WaitingForEtcd',
    message: 'waits',
  });
  service.state = { kind: 'ready', pki };
  t.match(service.condition, { status: 'true', reason: '' });
});

void t.test('a debug certificate is for whom it is asked for, and lasts an hour', async (t) => {
  const { handlers } = readyService();
  const request = { id: 'jane@example.org', groups: ['system:masters', 'ops'], caller };
  const { kubeconfig, expiresAtMs } = await handlers.debugKubeconfig(request, debug);
  const certificate = certificateOf(kubeconfig);
  t.equal(certificate.subject, 'O=system:masters\nO=ops\nCN=jane@example.org');
  t.equal(notAfterMs(certificate), expiresAtMs);
  t.equal(expiresAtMs, Math.floor((nowMs + defaultLifetimes.debugMs) / 1_000) * 1_000);
  t.ok(notBeforeMs(certificate) <= nowMs - backdatedMs);
  t.ok(certificate.verify(pki.authorities['id-ca'].certificate.publicKey));
  t.same(lint(certificate.raw, 'client', valueOf(values, '/kube-pki/id-ca.crt')), []);
});

void t.test('its life can be chosen, up to a day', async (t) => {
  const { handlers } = readyService();
  const ask = async (ttlSeconds: number) =>
    handlers.debugKubeconfig({ id: 'jane', groups: [], ttlSeconds, caller }, debug);
  t.equal((await ask(60)).expiresAtMs, Math.floor(nowMs / 1_000) * 1_000 + 60_000);
  await t.resolves(ask(24 * 3_600));
  await t.rejects(ask(24 * 3_600 + 1), { code: 'INVALID_ARGUMENT', message: /86400 seconds/ });
});

void t.test('a client of the debug API gets a certificate that no component takes', async (t) => {
  const { handlers } = readyService();
  const request = { name: 'jane', role: 'read', ttlSeconds: 60, caller } as const;
  const { pem, expiresAtMs } = await handlers.debugClient(request, debug);
  const certificate = new X509Certificate(pem);
  t.equal(certificate.subject, 'O=hamlet:debug-read\nCN=jane');
  t.ok(certificate.checkPrivateKey(createPrivateKey(pem)));
  t.ok(certificate.verify(pki.authorities['debug-ca'].certificate.publicKey));
  t.equal(expiresAtMs, Math.floor(nowMs / 1_000) * 1_000 + 60_000);
  t.same(lint(certificate.raw, 'client', valueOf(values, '/kube-pki/debug-ca.crt')), []);
  t.ok(pem.endsWith(bundle(pki, 'debug-ca')));
  t.match(await handlers.issued({ last: 1 }, debug), {
    credentials: [
      { id: 'jane', groups: ['hamlet:debug-read'], serial: certificate.serialNumber.toLowerCase() },
    ],
  });
  const tooLong = { ...request, ttlSeconds: 24 * 3_600 + 1 };
  await t.rejects(async () => handlers.debugClient(tooLong, debug), { code: 'INVALID_ARGUMENT' });
});

void t.test('who asks from another machine is sent to the node, and not to loopback', async (t) => {
  const { handlers } = readyService();
  const certificate = { name: 'jane', serial: '4711' };
  const remote = { transport: 'tls', uid: null, pid: null, certificate } as const;
  const { kubeconfig } = await handlers.debugKubeconfig({ id: 'jane', groups: [], caller: remote }, debug);
  t.match(kubeconfig, 'server: https://192.0.2.7:6443\n');
  t.match(await handlers.issued({ last: 1 }, debug), { credentials: [{ caller: remote }] });
});

void t.test('names are taken as they are, and control characters not at all', async (t) => {
  const { handlers } = readyService();
  const ask = async (id: string, groups: string[] = []) =>
    certificateOf((await handlers.debugKubeconfig({ id, groups, caller }, debug)).kubeconfig).toLegacyObject()
      .subject;
  // "#0500" would be DER to the library, and "," or "+" the start of another attribute in RFC 4514's notation.
  for (const id of [
    '#0500',
    'a,O=system:masters',
    'a+O=system:masters',
    'CN=x',
    ' a ',
    'é€😀',
    'x'.repeat(253),
  ]) {
    t.strictSame({ ...(await ask(id)) }, { CN: id }, id);
  }
  for (const text of ['a\nO=system:masters', 'a\0', '\u0085']) {
    await t.rejects(ask(text), { code: 'INVALID_ARGUMENT' });
    await t.rejects(ask('a', [text]), { code: 'INVALID_ARGUMENT' });
  }
});

void t.test('what is issued is on record', async (t) => {
  const { handlers } = readyService();
  const request = { id: 'on-record', groups: ['ops'], caller };
  const { kubeconfig, expiresAtMs } = await handlers.debugKubeconfig(request, debug);
  const { credentials } = await handlers.issued({ last: 1 }, debug);
  t.same(credentials, [
    {
      ...request,
      atMs: nowMs,
      expiresAtMs,
      serial: certificateOf(kubeconfig).serialNumber.toLowerCase(),
    },
  ]);
  t.throws(() => handlers.issued({ last: 1 }, kubelet), { code: 'PERMISSION_DENIED' });
});

void t.test('the policy says for whom nothing is issued', async (t) => {
  const service = newService({ allowMasters: false, identities: ['ops:*', 'jane'] });
  service.state = { kind: 'ready', pki };
  const ask = async (id: string, groups: string[] = []) =>
    service.handlers.debugKubeconfig({ id, groups, caller }, debug);
  await t.resolves(ask('jane'));
  await t.resolves(ask('ops:x', ['readers']));
  await t.rejects(ask('jane', ['readers', 'system:masters']), {
    code: 'PERMISSION_DENIED',
    message: /allowMasters/,
  });
  for (const id of ['janet', 'xjane', 'ops', 'x ops:y']) {
    await t.rejects(ask(id), { code: 'PERMISSION_DENIED', message: /debug.identities/ }, id);
  }
  const { credentials } = await service.handlers.issued({ last: 6 }, debug);
  t.same(
    credentials.map(({ id, serial, expiresAtMs, refused }) => [id, serial !== '', expiresAtMs > 0, refused]),
    [
      ['ops:x', true, true, undefined],
      ['jane', false, false, 'debug.allowMasters'],
      ...['janet', 'xjane', 'ops', 'x ops:y'].map((id) => [id, false, false, 'debug.identities']),
    ],
    'refusals are on record',
  );
});

void t.test('without masters there is no way to be one by another name', async (t) => {
  const service = newService({ allowMasters: false, identities: ['*'] });
  service.state = { kind: 'ready', pki };
  const ask = async (id: string, groups: string[] = []) =>
    service.handlers.debugKubeconfig({ id, groups, caller }, debug);
  const refused = (whom: string) => ({
    code: 'PERMISSION_DENIED',
    message: `this node issues no credentials for ${whom} (debug.allowMasters)`,
  });
  for (const id of [
    'system:kube-controller-manager',
    'system:kube-scheduler',
    `system:node:${facts.nodeName}`,
    'system:serviceaccount:kube-system:clusterrole-aggregation-controller',
    'system:authenticated:x',
    'hamlet:master',
    'hamlet:apiserver-kubelet-client',
  ]) {
    await t.rejects(ask(id), refused(`"${id}"`));
  }
  for (const group of ['system:nodes', 'system:serviceaccounts:kube-system', 'hamlet:debug-admin']) {
    await t.rejects(ask('jane', ['readers', group]), refused(group));
  }
  await t.rejects(ask('system:x', ['system:nodes', 'system:masters']), refused('system:masters'));
  for (const id of ['jane', 'hamlet:debug:jane', 'x:system:y', 'systems', 'hamlet'])
    await t.resolves(ask(id, ['ops', 'system:authenticated']), id);
  // What is for the debug API alone means nothing to Kubernetes.
  const request = { name: 'system:jane', role: 'admin', caller } as const;
  await t.resolves(async () => service.handlers.debugClient(request, debug));
});

void t.test('a rotation is asked for by debug clients, and waits for the kubelet worker', async (t) => {
  const rotation = new RotationControl(0);
  const service = newService(everybody, rotation);
  const { handlers } = service;
  await t.rejects(async () => handlers.rotate({}, debug), { code: 'UNAVAILABLE' });
  service.state = { kind: 'ready', pki };
  await t.rejects(async () => handlers.rotate({}, kubelet), { code: 'PERMISSION_DENIED' });
  t.match(await handlers.list({}, debug), { rotation: { phase: 'none' } });
  const answer = handlers.rotate({}, debug);
  t.equal(rotation.facts.asked, true);
  const trusting = { ...pki, rotation: { phase: 'trusting', sinceMs: nowMs } } as const;
  service.state = { kind: 'ready', pki: trusting };
  t.match(await answer, { phase: 'trusting', message: /is made to trust/ });
  t.match(await handlers.rotate({}, debug), { phase: 'trusting' }, 'asked again it says how far it is');
  t.equal(rotation.facts.asked, false);

  const stop = new AbortController();
  const items = handlers.renewals({}, { signal: stop.signal, source: 'kubelet' });
  for await (const { revision, thorough } of items) {
    t.equal(thorough, true);
    t.equal(rotation.facts.delivered, false);
    t.throws(() => handlers.delivered({ revision }, debug), { code: 'PERMISSION_DENIED' });
    await handlers.delivered({ revision }, kubelet);
    t.equal(rotation.facts.delivered, true);
    break;
  }
  stop.abort();
});

void t.test('every certificate is listed, with its next renewal', async (t) => {
  const { certificates } = await readyService().handlers.list({}, debug);
  t.equal(certificates.length, 18);
  t.same(certificates[0], {
    name: 'id-ca',
    subject: `CN=${facts.nodeName} ID CA`,
    issuer: 'id-ca',
    usage: 'authority',
    holder: 'hamlet.certs',
    serial: pki.authorities['id-ca'].certificate.serialNumber.toLowerCase(),
    notBeforeMs: notBeforeMs(pki.authorities['id-ca'].certificate),
    notAfterMs: notAfterMs(pki.authorities['id-ca'].certificate),
    renewalMs: null,
    names: [],
  });
  t.match(
    certificates.find(({ name }) => name === 'kubelet-server'),
    { usage: 'serving', issuer: 'id-ca', holder: 'kube.kubelet', names: [facts.nodeName, '192.0.2.7'] },
  );
  const master = certificates.find(({ name }) => name === 'master');
  t.match(master, { subject: 'O=system:masters, CN=hamlet:master', usage: 'client', names: [] });
  t.ok(master?.renewalMs != null && master.renewalMs < master.notAfterMs);
  t.throws(() => newService().handlers.list({}, debug), { code: 'UNAVAILABLE' });
});

void t.test('authorities are known by their fingerprints', async (t) => {
  const { handlers } = readyService();
  const { authorities } = await handlers.authorities({}, debug);
  t.same(
    authorities.map(({ name, sha256 }) => [name, sha256]),
    (['id-ca', 'aggregation-ca', 'debug-ca'] as const).map((name) => [
      name,
      pki.authorities[name].certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    ]),
  );
});
