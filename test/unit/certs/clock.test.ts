import t from 'tap';
import type { ConditionUpdate } from '../../../src/ipc/services/host.js';
import { JobPool } from '../../../src/jobs/pool.js';
import { poll } from '../../../src/lib/time.js';
import { builtRereads } from '../../../src/platform/components.js';
import { defaultLifetimes } from '../../../src/platform/lifetimes.js';
import { loadOrBootstrap } from '../../../src/workers/certs/bootstrap.js';
import { encryptionRecord, newEncryption } from '../../../src/workers/certs/encryption.js';
import {
  encryptionKey,
  notAfterMs,
  notBeforeMs,
  type Pki,
  type PkiValues,
} from '../../../src/workers/certs/pki.js';
import { authorityNames, leafNames, type LeafName } from '../../../src/workers/certs/profiles.js';
import { keepRenewed } from '../../../src/workers/certs/renewal.js';
import { RotationControl } from '../../../src/workers/certs/rotation-control.js';
import { nextStep } from '../../../src/workers/certs/rotation.js';
import { facts, freshPki, memory, never } from './fixtures.js';

const dayMs = 86_400_000;
/** A day on which Hamlet could run, whatever the day of the test is. */
const startMs = Date.UTC(2027, 5, 1);
const values = await freshPki(startMs);
const jobs = new JobPool();
t.teardown(() => jobs[Symbol.asyncDispose]());

interface Look {
  readonly pki: Pki;
  /** Why what was issued at this look was issued. */
  readonly reasons: Readonly<Record<string, string>>;
}

/** What a worker does that looks at the store at this time. */
async function look(
  store: ReturnType<typeof memory>,
  nowMs: number,
  surelyEarly = false,
  lifetimes = defaultLifetimes,
): Promise<Look> {
  let reasons: Look['reasons'] = {};
  const info = (fields: unknown): void => {
    if (typeof fields !== 'object' || fields === null || !('certificates' in fields)) return;
    reasons = fields.certificates as Look['reasons'];
  };
  const pki = await loadOrBootstrap({
    ...{ store, jobs, facts, lifetimes, rereads: builtRereads, now: () => nowMs, surelyEarly, signal: never },
    log: { info: info },
  });
  return { pki, reasons };
}

function serials(of: Readonly<Record<string, { readonly certificate: { readonly serialNumber: string } }>>) {
  return Object.values(of).map(({ certificate }) => certificate.serialNumber);
}

function isValidAt({ authorities, successors, leaves }: Pki, nowMs: number): boolean {
  return [authorities, successors, leaves]
    .flatMap((part) => Object.values(part))
    .every(({ certificate }) => notBeforeMs(certificate) <= nowMs && nowMs < notAfterMs(certificate));
}

/** The PKI after a while by a clock that was ahead, seen at the right time again. */
async function ahead(byMs: number): Promise<PkiValues> {
  const store = memory(values);
  await look(store, startMs + byMs);
  return (await store.read(never)).values;
}

void t.test('leaves of a clock that was ahead are issued anew when it is set back', async (t) => {
  const store = memory(await ahead(70 * dayMs));
  const nowMs = startMs + dayMs;
  const { pki, reasons } = await look(store, nowMs);
  t.same(Object.keys(reasons).sort(), [...leafNames].sort());
  t.same([...new Set(Object.values(reasons))], ['the clock was ahead when it was issued']);
  t.ok(isValidAt(pki, nowMs));
  t.same((await look(store, nowMs)).reasons, {}, 'once');
});

void t.test('a successor of a clock that was ahead is, too, and nobody else’s', async (t) => {
  const store = memory(await ahead(defaultLifetimes.authorityMs * 0.4));
  const nowMs = startMs + dayMs;
  const { pki, reasons } = await look(store, nowMs);
  for (const name of authorityNames) t.equal(reasons[`${name}-next`], 'there is none to follow');
  t.ok(isValidAt(pki, nowMs));
});

void t.test('a key for Secrets of a clock that was ahead is followed by another', async (t) => {
  const store = memory(await ahead(100 * dayMs));
  const { keys } = (await look(store, startMs)).pki.encryption;
  t.equal(keys.length, 2, 'not before the API server has taken it');
  const done = memory(await freshPki(startMs));
  await look(done, startMs);
  const values = new Map((await done.read(never)).values);
  values.set(encryptionKey, encryptionRecord(newEncryption(startMs + 100 * dayMs, false)));
  const { encryption } = (await look(memory(values), startMs)).pki;
  t.match(encryption.keys, [{ madeMs: startMs }, { madeMs: startMs + 100 * dayMs }]);
});

void t.test('a few minutes are nothing, in either direction', async (t) => {
  const store = memory(values);
  for (const offMs of [-299_000, 299_000]) {
    const { reasons } = await look(store, startMs + offMs);
    t.same(reasons, {}, `${offMs} ms`);
  }
});

void t.test('leaves that end later than what the configuration has now', async (t) => {
  const store = memory(values);
  const shorter = { ...defaultLifetimes, leafMs: 30 * dayMs };
  const { pki, reasons } = await look(store, startMs, false, shorter);
  t.equal(reasons.apiserver, 'it ends later than what is issued now');
  t.equal(notAfterMs(pki.leaves.apiserver.certificate), startMs + 30 * dayMs);
  t.same((await look(store, startMs, false, shorter)).reasons, {});
});

void t.test('a clock that is behind changes nothing', async (t) => {
  for (const nowMs of [0, startMs - 400 * dayMs, startMs - dayMs]) {
    const store = memory(values);
    const { pki, reasons } = await look(store, nowMs);
    t.same(reasons, {}, new Date(nowMs).toISOString());
    t.same((await store.read(never)).values, values);
    t.equal(isValidAt(pki, nowMs), false);
  }
});

void t.test('authorities that are surely not valid yet are replaced, with everything', async (t) => {
  const store = memory(values);
  const nowMs = startMs - 30 * dayMs;
  const old = (await look(store, startMs)).pki;
  const { pki, reasons } = await look(store, nowMs, true);
  t.same(reasons, { all: 'the clock was ahead when the authorities were issued' });
  t.ok(isValidAt(pki, nowMs));
  t.match(pki.rotation, { phase: 'replaced', sinceMs: nowMs });
  t.same(pki.predecessors, {}, 'nobody trusts the old ones');
  const before = new Set([...serials(old.authorities), ...serials(old.successors), ...serials(old.leaves)]);
  t.notOk([...serials(pki.authorities), ...serials(pki.leaves)].some((serial) => before.has(serial)));
  t.ok(pki.serviceAccountKey.equals(old.serviceAccountKey), 'tokens stay good');
  t.same(pki.encryption, old.encryption, 'and Secrets readable');
  t.equal(nextStep(pki.rotation, { nowMs, asked: false, delivered: false }), undefined);
  t.equal(nextStep(pki.rotation, { nowMs, asked: true, delivered: true }), 'finish');
  const year1970 = memory(values);
  t.same((await look(year1970, dayMs, true)).reasons, {}, 'but never by a clock that is surely wrong');
});

void t.test('a cluster that was made before the clock was set is issued anew when it is', async (t) => {
  const store = memory(await freshPki(60_000));
  t.same((await look(store, 120_000)).reasons, {}, 'it works while it is 1970');
  const { pki, reasons } = await look(store, startMs);
  t.same(reasons, { all: 'the clock had not been set when the authorities were issued' });
  t.ok(isValidAt(pki, startMs));
  t.match(pki.rotation, { phase: 'replaced' });
});

void t.test('an authority that lived its life is for a person to decide on', async (t) => {
  const store = memory(values);
  const lateMs = startMs + defaultLifetimes.authorityMs;
  await t.rejects(look(store, lateMs), {
    code: 'FAILED_PRECONDITION',
    message: /expired on .*; set the clock if it is wrong/,
  });
  t.same((await store.read(never)).values, values, 'and a clock that jumps there and back changes nothing');
  t.same((await look(store, startMs)).reasons, {});
});

void t.test('successors that sign by a clock that was ahead have the time to settle', (t) => {
  const settling = { phase: 'settling', sinceMs: startMs + dayMs, untilMs: startMs + 2 * dayMs } as const;
  const at = (nowMs: number) => nextStep(settling, { nowMs, asked: false, delivered: true });
  t.equal(at(startMs), 'settle');
  t.equal(at(startMs + dayMs), undefined);
  t.equal(at(startMs + 2 * dayMs), 'finish');
  t.end();
});

void t.test('the worker notices by itself, says so, and is patient with authorities', async (t) => {
  const store = memory(values);
  const stop = new AbortController();
  const [patienceMs, lookMs] = [600_000, 5];
  let nowMs = startMs;
  let ticksMs = 0;
  const seen: Pki[] = [];
  const conditions: ConditionUpdate[] = [];
  const kept = keepRenewed((await look(store, startMs)).pki, {
    ...{ facts, lifetimes: defaultLifetimes, rotation: new RotationControl(0), now: () => nowMs, lookMs },
    ...{ clockPatienceMs: patienceMs, ticks: () => ticksMs, signal: stop.signal },
    renew: async (_signal, surelyEarly) => (await look(store, nowMs, surelyEarly)).pki,
    onPki: (pki) => seen.push(pki),
    onCondition: (condition) => {
      if (condition.name === 'CertificatesValid') conditions.push(condition);
    },
    log: { error: (fields: unknown) => t.fail('it failed', { fields }) },
  });
  kept.catch(() => undefined);
  const until = (what: string, wanted: () => boolean) =>
    poll(() => wanted() || undefined, { everyMs: 5, timeoutMs: 60_000, what });
  const reasons = () => conditions.map(({ reason }) => reason);
  const leaf = (name: LeafName) => seen.at(-1)?.leaves[name].certificate.serialNumber;

  nowMs = startMs + 70 * dayMs;
  await until('renewal', () => seen.length === 1);
  const future = leaf('apiserver');
  nowMs = startMs + dayMs;
  await until('the end of what was issued in the future', () => seen.length === 2);
  t.not(leaf('apiserver'), future);
  t.ok(reasons().includes('ClockWasAhead'));
  await until('all well again', () => conditions.at(-1)?.status === 'true');

  nowMs = startMs - dayMs;
  await until('the condition', () => conditions.at(-1)?.reason === 'ClockBehind');
  ticksMs += patienceMs - 1;
  const before = conditions.length;
  await until('some more looks', () => conditions.length > before + 3);
  t.equal(seen.length, 2, 'nothing is replaced for a clock that may be wrong for a moment');
  nowMs = startMs + dayMs;
  await until('all well again', () => conditions.at(-1)?.status === 'true');
  nowMs = startMs - dayMs;
  await until('the condition', () => conditions.at(-1)?.reason === 'ClockBehind');
  const since = conditions.length;
  await until('some more looks', () => conditions.length > since + 3);
  t.equal(seen.length, 2, 'and patience begins anew');
  ticksMs += patienceMs;
  await until('the replacement', () => seen.length === 3);
  t.match(seen[2]?.rotation, { phase: 'replaced' });
  await until('all well again', () => conditions.at(-1)?.status === 'true');
  stop.abort(new Error('enough'));
  await t.rejects(kept, { message: 'enough' });
});
