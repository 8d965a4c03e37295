import t from 'tap';
import type { ConditionUpdate } from '../../../src/ipc/services/host.js';
import { JobPool } from '../../../src/jobs/pool.js';
import { HamletError } from '../../../src/lib/errors.js';
import { poll } from '../../../src/lib/time.js';
import { defaultLifetimes } from '../../../src/platform/lifetimes.js';
import { loadOrBootstrap } from '../../../src/workers/certs/bootstrap.js';
import { notAfterMs, parsePki, type Pki, type PkiValues } from '../../../src/workers/certs/pki.js';
import { keepRenewed, nextRenewal, validity } from '../../../src/workers/certs/renewal.js';
import type { PkiStore } from '../../../src/workers/certs/store.js';
import { facts, freshPki } from './fixtures.js';

const startMs = Date.now();
const values = await freshPki(startMs);
const pki = parsePki(values, facts, startMs);

/** A store in memory, for faults; the tests with etcd are in test/node. */
function memory(initial: PkiValues): PkiStore & { fault: Error | undefined } {
  let held = initial;
  return {
    fault: undefined,
    async read() {
      if (this.fault !== undefined) throw this.fault;
      return { values: held, revisions: new Map() };
    },
    async write(changed) {
      held = new Map([...held, ...changed]);
      return true;
    },
  };
}

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
  const kept = keepRenewed(pki, {
    facts,
    now,
    renew: () => loadOrBootstrap({ store, jobs, facts, lifetimes, now, log, signal }),
    onPki: (renewed) => seen.push(renewed),
    onCondition: (condition) => conditions.push(condition),
    log: { error: () => undefined },
    lookMs: 5,
    signal,
  });
  kept.catch(() => undefined);
  for (let round = 1; round <= 10; round++) {
    const before = nextRenewal(seen[round - 1] ?? pki, facts).atMs;
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
  nowMs = nextRenewal(seen.at(-1) ?? pki, facts).atMs + 1;
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

void t.test('the condition says what is wrong before it is too late', async (t) => {
  const at = (atMs: number) => validity(pki, facts, atMs, undefined);
  t.match(at(startMs), { name: 'CertificatesValid', status: 'true', message: /13 certificates; / });
  t.match(at(startMs - 600_000), { status: 'false', reason: 'ClockBehind', message: /set the clock/ });
  const end = notAfterMs(pki.leaves.apiserver.certificate);
  t.match(at(end), { status: 'false', reason: 'Expired', message: /expired on/ });
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
    now: () => nowMs,
    log: { info: () => undefined },
    signal,
  };
  const first = await loadOrBootstrap(options);
  t.equal(validity(first, facts, nowMs, undefined).status, 'true');
  nowMs += 61 * dayMs;
  const second = await loadOrBootstrap(options);
  t.equal(notAfterMs(second.leaves.master.certificate), notAfterMs(second.authorities['id-ca'].certificate));
  t.equal(nextRenewal(second, facts).atMs, Infinity);
  t.equal(validity(second, facts, nowMs, undefined).status, 'true');
  nowMs += 20 * dayMs;
  t.match(validity(second, facts, nowMs, undefined), { status: 'false', reason: 'AuthorityExpiring' });
  t.equal(
    (await loadOrBootstrap(options)).leaves.master.certificate.serialNumber,
    second.leaves.master.certificate.serialNumber,
  );
});
