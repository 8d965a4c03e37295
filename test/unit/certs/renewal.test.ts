import t from 'tap';
import type { ConditionUpdate } from '../../../src/ipc/services/host.js';
import { JobPool } from '../../../src/jobs/pool.js';
import { HamletError } from '../../../src/lib/errors.js';
import { poll } from '../../../src/lib/time.js';
import { builtRereads as rereads } from '../../../src/platform/components.js';
import { defaultLifetimes } from '../../../src/platform/lifetimes.js';
import { loadOrBootstrap } from '../../../src/workers/certs/bootstrap.js';
import { notAfterMs, parsePki, type Pki } from '../../../src/workers/certs/pki.js';
import * as renewal from '../../../src/workers/certs/renewal.js';
import { RotationControl } from '../../../src/workers/certs/rotation-control.js';
import { facts, freshPki, memory } from './fixtures.js';

const startMs = Date.now();
const values = await freshPki(startMs);
const pki = parsePki(values, facts, startMs);

const { renewAfterShare } = defaultLifetimes;
const nextRenewal = (of: Pki) => renewal.nextRenewal(of, facts, renewAfterShare);
const validity = (of: Pki, atMs: number) => renewal.validity(of, nextRenewal(of), atMs, undefined);

void t.test('leaves are renewed while the clock goes on, ten times over', async (t) => {
  await using jobs = new JobPool();
  const store = memory(values);
  const stop = new AbortController();
  const { signal } = stop;
  let nowMs = startMs;
  const seen: Pki[] = [pki];
  const conditions: ConditionUpdate[] = [];
  const lifetimes = defaultLifetimes;
  const now = () => nowMs;
  const log = { info: () => undefined };
  const kept = renewal.keepRenewed(pki, {
    facts,
    lifetimes: defaultLifetimes,
    rotation: new RotationControl(0),
    now,
    renew: () => loadOrBootstrap({ store, jobs, facts, lifetimes, rereads, now, log, signal }),
    onPki: (renewed) => seen.push(renewed),
    onCondition: (condition) => {
      if (condition.name === 'CertificatesValid') conditions.push(condition);
    },
    log: { error: () => undefined },
    lookMs: 5,
    signal,
  });
  kept.catch(() => undefined);
  for (let round = 1; round <= 10; round++) {
    const before = nextRenewal(seen[round - 1] ?? pki).atMs;
    nowMs = before - 2_000;
    t.equal(seen.length, round, 'not before two thirds of the life');
    nowMs = before + 1;
    await poll(() => (seen.length > round ? true : undefined), {
      everyMs: 5,
      timeoutMs: 20_000,
      what: `renewal ${round}`,
    });
    const serials = new Set(seen.map(({ leaves }) => leaves.apiserver.certificate.serialNumber));
    t.equal(serials.size, round + 1);
  }
  t.ok(
    conditions.every(({ status }) => status === 'true'),
    'and all was well all the time',
  );
  t.equal(
    seen.at(-1)?.authorities['id-ca'].certificate.serialNumber,
    pki.authorities['id-ca'].certificate.serialNumber,
  );

  store.fault = new HamletError('UNAVAILABLE', 'etcd does not answer');
  nowMs = nextRenewal(seen.at(-1) ?? pki).atMs + 1;
  const failed = await poll(() => conditions.find(({ status }) => status === 'false'), {
    everyMs: 5,
    timeoutMs: 20_000,
    what: 'the condition',
  });
  t.match(failed, { reason: 'RenewalFailed', message: /cannot be renewed: etcd does not answer/ });
  store.fault = undefined;
  await poll(() => (conditions.at(-1)?.status === 'true' ? true : undefined), {
    everyMs: 5,
    timeoutMs: 20_000,
    what: 'the renewal after the fault',
  });
  t.equal(seen.length, 12);
  stop.abort(new Error('enough'));
  await t.rejects(kept, { message: 'enough' });
});

void t.test('a failure is over when its cause is, also when nothing is due any more', async (t) => {
  const stop = new AbortController();
  const rotation = new RotationControl(0);
  const conditions: ConditionUpdate[] = [];
  let isBroken = true;
  const kept = renewal.keepRenewed(pki, {
    facts,
    lifetimes: defaultLifetimes,
    rotation,
    now: () => startMs,
    renew: async () => {
      if (isBroken) throw new HamletError('UNAVAILABLE', 'etcd does not answer');
      return pki;
    },
    onPki: () => undefined,
    onCondition: (condition) => {
      if (condition.name === 'CertificatesValid') conditions.push(condition);
    },
    log: { error: () => undefined },
    lookMs: 5,
    signal: stop.signal,
  });
  kept.catch(() => undefined);
  const waiting = { everyMs: 5, timeoutMs: 20_000 };
  rotation.look();
  await poll(() => conditions.find(({ reason }) => reason === 'RenewalFailed'), {
    ...waiting,
    what: 'the failure',
  });
  isBroken = false;
  await poll(() => (conditions.at(-1)?.status === 'true' ? true : undefined), {
    ...waiting,
    what: 'the end of the failure',
  });
  stop.abort(new Error('enough'));
  await t.rejects(kept, { message: 'enough' });
});

void t.test('the condition says what is wrong before it is too late', async (t) => {
  const at = (atMs: number) => validity(pki, atMs);
  t.match(at(startMs), { name: 'CertificatesValid', status: 'true', message: /18 certificates; / });
  t.match(at(startMs - 600_000), { status: 'false', reason: 'ClockBehind', message: /set the clock/ });
  const end = notAfterMs(pki.leaves.apiserver.certificate);
  t.match(at(end), { status: 'false', reason: 'Expired', message: /expired on/ });
});

void t.test('what does not reach the components is told of', async (t) => {
  let nowMs = 0;
  const rotation = new RotationControl(0, () => nowMs);
  const condition = () => renewal.validity(pki, nextRenewal(pki), startMs, undefined, rotation.undeliveredMs);
  t.equal(condition().status, 'true');
  rotation.publish(5, pki);
  nowMs = 299_000;
  rotation.publish(6, pki);
  t.equal(condition().status, 'true');
  nowMs = 301_000;
  t.match(condition(), { status: 'false', reason: 'NotDelivered', message: /log of hamlet\.kubelet/ });
  rotation.deliver(5);
  t.equal(condition().status, 'true', 'the next one has its own time');
  nowMs = 602_000;
  t.match(condition(), { reason: 'NotDelivered' });
  rotation.deliver(6);
  t.equal(condition().status, 'true');
  nowMs = 1e9;
  t.equal(condition().status, 'true');
});

void t.test('a leaf that ends with its authority is not renewed, and the authority is told of', async (t) => {
  const dayMs = 86_400_000;
  const short = { ...defaultLifetimes, authorityMs: 100 * dayMs };
  await using jobs = new JobPool();
  const store = memory(new Map());
  const { signal } = new AbortController();
  let nowMs = startMs;
  const options = {
    store,
    jobs,
    facts,
    lifetimes: short,
    rereads,
    now: () => nowMs,
    log: { info: () => undefined },
    signal,
  };
  const first = await loadOrBootstrap(options);
  t.equal(validity(first, nowMs).status, 'true');
  nowMs += 61 * dayMs;
  const second = await loadOrBootstrap(options);
  t.equal(notAfterMs(second.leaves.master.certificate), notAfterMs(second.authorities['id-ca'].certificate));
  t.equal(nextRenewal(second).atMs, Infinity);
  t.equal(validity(second, nowMs).status, 'true');
  nowMs += 20 * dayMs;
  t.match(validity(second, nowMs), { status: 'false', reason: 'AuthorityExpiring' });
  t.equal(
    (await loadOrBootstrap(options)).leaves.master.certificate.serialNumber,
    second.leaves.master.certificate.serialNumber,
  );
});
