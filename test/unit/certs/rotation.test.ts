import t from 'tap';
import { JobPool } from '../../../src/jobs/pool.js';
import { poll } from '../../../src/lib/time.js';
import { builtRereads, upstreamRereads } from '../../../src/platform/components.js';
import { defaultLifetimes } from '../../../src/platform/lifetimes.js';
import { loadOrBootstrap } from '../../../src/workers/certs/bootstrap.js';
import { bundle } from '../../../src/workers/certs/credentials.js';
import {
  parsePki,
  privateKeyKey,
  certificateKey,
  rotationKey,
  type Pki,
} from '../../../src/workers/certs/pki.js';
import { authorityNames, leafNames } from '../../../src/workers/certs/profiles.js';
import { authoritiesSettled, keepRenewed } from '../../../src/workers/certs/renewal.js';
import { RotationControl, trustMs } from '../../../src/workers/certs/rotation-control.js';
import {
  describeRotation,
  nextStep,
  parseRotation,
  recordOf,
  settlingMs,
  type Rotation,
} from '../../../src/workers/certs/rotation.js';
import { facts, freshPki, memory, never, valueOf } from './fixtures.js';

const startMs = Date.now();
const values = await freshPki(startMs);
const jobs = new JobPool();
t.teardown(() => jobs[Symbol.asyncDispose]());

function fingerprints(of: Readonly<Record<string, { readonly certificate: { fingerprint256: string } }>>) {
  return Object.values(of).map(({ certificate }) => certificate.fingerprint256);
}

/** One look at what is due, as a worker does that has just been started. */
async function look(store: ReturnType<typeof memory>, nowMs: number, asked = false, delivered = false) {
  return loadOrBootstrap({
    ...{ store, jobs, facts, lifetimes: defaultLifetimes, rereads: builtRereads, now: () => nowMs },
    rotation: () => ({ asked, delivered, heldUntilMs: startMs + 3_600_000 }),
    log: { info: () => undefined },
    signal: never,
  });
}

void t.test('each step of a rotation is one write, and whoever starts anew goes on from it', async (t) => {
  const store = memory(values);
  const before = await look(store, startMs);
  t.equal(before.rotation, undefined);
  t.equal(bundle(before, 'id-ca').match(/BEGIN/g)?.length, 2, 'the successor is trusted before any rotation');

  const trusting = await look(store, startMs, true);
  t.same(trusting.rotation, { phase: 'trusting', sinceMs: startMs });
  t.same(
    fingerprints(trusting.authorities),
    fingerprints(before.authorities),
    'and nothing else changes yet',
  );
  t.same((await look(store, startMs)).rotation, trusting.rotation, 'a start goes on with it');
  t.same((await look(store, startMs, true)).rotation, trusting.rotation, 'asked twice is asked once');

  const settling = await look(store, startMs, false, true);
  t.same(settling.rotation, { phase: 'settling', sinceMs: startMs, untilMs: startMs + 3_600_000 });
  t.same(fingerprints(settling.authorities), fingerprints(before.successors));
  for (const name of authorityNames) {
    t.equal(settling.predecessors[name]?.fingerprint256, before.authorities[name].certificate.fingerprint256);
    t.equal(bundle(settling, name).match(/BEGIN/g)?.length, 3);
  }
  const old = new Set(fingerprints(before.leaves));
  t.equal(fingerprints(settling.leaves).filter((leaf) => old.has(leaf)).length, 0, 'every leaf is new');
  for (const name of leafNames) {
    const { certificate } = settling.leaves[name];
    const issuers = Object.values(before.successors).map((successor) => successor.certificate);
    t.ok(issuers.some((issuer) => certificate.verify(issuer.publicKey)));
  }

  t.same((await look(store, startMs + 3_599_000, false, true)).rotation, settling.rotation, 'not too early');
  t.same((await look(store, startMs + 3_600_000)).rotation, settling.rotation, 'and not before all have it');
  const settled = await look(store, startMs + 3_600_000, true, true);
  t.equal(settled.rotation, undefined);
  t.same(settled.predecessors, {});
  const { values: left } = await store.read(never);
  t.same([...left.keys()].sort(), [...values.keys()].sort(), 'nothing is left behind');
});

void t.test('nothing outlives what it was issued under', async (t) => {
  const store = memory(values);
  await look(store, startMs, true);
  const atMs = startMs + 3_600_000;
  const { rotation } = await look(store, atMs, false, true);
  t.match(
    rotation,
    { untilMs: atMs + settlingMs(builtRereads) },
    'clients get the time to read their certificate again',
  );
});

void t.test(
  'a PKI without successors gets some, and so does one whose successors have waited long',
  async (t) => {
    const older = new Map(values);
    for (const name of authorityNames) {
      older.delete(certificateKey(`${name}-next`));
      older.delete(privateKeyKey(`${name}-next`));
    }
    t.throws(() => parsePki(older, facts, startMs), { code: 'DATA_LOSS' });
    const store = memory(older);
    const first = await look(store, startMs);
    t.not(
      first.successors['id-ca'].certificate.fingerprint256,
      first.authorities['id-ca'].certificate.fingerprint256,
    );
    const share = defaultLifetimes.authorityMs / 3;
    t.same(
      fingerprints((await look(store, startMs + share * 0.99)).successors),
      fingerprints(first.successors),
    );
    const late = await look(store, startMs + share * 1.01);
    t.notSame(fingerprints(late.successors), fingerprints(first.successors));
    t.same(fingerprints(late.authorities), fingerprints(first.authorities));
  },
);

void t.test(
  'a PKI from before the debug API had an authority gets one, whatever it is in the middle of',
  async (t) => {
    const later = ['debug-ca', 'debug-ca-next', 'debug-server'];
    const older = new Map(values);
    for (const name of later) {
      older.delete(certificateKey(name));
      older.delete(privateKeyKey(name));
    }
    const record = (rotation: Rotation) => [rotationKey, recordOf(rotation)] as const;
    const trusting = record({ phase: 'trusting', sinceMs: startMs });
    const settling = record({ phase: 'settling', sinceMs: startMs, untilMs: startMs });
    for (const [name, held] of [
      ['settled', older],
      ['trusting', new Map([...older, trusting])],
      ['settling', new Map([...older, settling])],
    ] as const) {
      t.throws(() => parsePki(held, facts, startMs), { code: 'DATA_LOSS' });
      const store = memory(held);
      const pki = await look(store, startMs, true, true);
      const { certificate } = pki.leaves['debug-server'];
      t.ok(certificate.verify(pki.authorities['debug-ca'].certificate.publicKey), name);
      t.same(pki.leaves.apiserver.certificate.raw, valueOf(values, certificateKey('apiserver')));
      t.same((await look(store, startMs)).leaves['debug-server'].certificate.raw, certificate.raw, 'once');
      await look(store, startMs, false, true);
      const { values: left } = await store.read(never);
      t.ok(parsePki(left, facts, startMs), 'and a rotation goes on');
    }
    for (const name of later) {
      const half = new Map([
        ...older,
        [certificateKey(name), valueOf(values, certificateKey(name))] as const,
      ]);
      await t.rejects(
        look(memory(half), startMs),
        { code: 'DATA_LOSS' },
        `what is left of ${name} is damage`,
      );
    }
  },
);

void t.test('a record that nobody can read is damage', async (t) => {
  for (const record of ['', '{}', '{"phase":"trusting"}', '{"phase":"other","sinceMs":1}']) {
    const damaged = new Map([...values, [rotationKey, Buffer.from(record)]]);
    t.throws(() => parsePki(damaged, facts, startMs), { code: 'DATA_LOSS', message: /\/kube-pki\/rotation/ });
  }
  const settling = { phase: 'settling', sinceMs: 1, untilMs: 2 } as const;
  t.same(parseRotation(recordOf(settling)), settling);
  t.match(describeRotation(settling), /trusted until 1970-01-01T00:00:00.002Z/);
  t.equal(nextStep(undefined, { nowMs: 0, asked: false, delivered: true }), undefined);
});

void t.test('the worker goes on by itself when everybody has what they need', async (t) => {
  let monotonicMs = 0;
  const rotation = new RotationControl(trustMs(upstreamRereads), () => monotonicMs);
  const store = memory(values);
  const stop = new AbortController();
  let nowMs = startMs;
  let revision = 100;
  const seen: Pki[] = [];
  const reasons = new Set<string>();
  const kept = keepRenewed(await look(store, startMs), {
    ...{ facts, rotation, lifetimes: defaultLifetimes, now: () => nowMs },
    renew: (signal) =>
      loadOrBootstrap({
        ...{ store, jobs, facts, lifetimes: defaultLifetimes, now: () => nowMs, signal },
        rereads: upstreamRereads,
        rotation: () => ({ ...rotation.facts, heldUntilMs: 0 }),
        log: { info: () => undefined },
      }),
    onPki: (pki) => {
      seen.push(pki);
      rotation.publish(++revision, pki);
    },
    onCondition: ({ name, reason }) => {
      if (name === 'AuthoritiesSettled') reasons.add(reason);
    },
    log: { error: (fields: unknown) => t.fail('it failed', { fields }) },
    lookMs: 5,
    signal: stop.signal,
  });
  kept.catch(() => undefined);
  const phase = (wanted: string | undefined) =>
    poll(() => (seen.length > 0 && seen.at(-1)?.rotation?.phase === wanted ? true : undefined), {
      ...{ everyMs: 5, timeoutMs: 20_000, what: `the phase ${wanted}` },
    });
  rotation.publish(revision, await look(store, startMs));
  rotation.request();
  await phase('trusting');
  rotation.deliver(revision - 1);
  monotonicMs += 100_000;
  t.equal(rotation.facts.delivered, false, 'what was delivered before does not count');
  rotation.deliver(revision);
  t.equal(rotation.facts.delivered, false, 'nor what nobody can have read yet');
  monotonicMs += 65_000;
  await phase('settling');
  nowMs += settlingMs(upstreamRereads) + 1;
  rotation.deliver(revision);
  monotonicMs += 65_000;
  await phase(undefined);
  t.equal(seen.length, 3);
  t.same([...reasons], ['', 'Trusting', 'Settling']);
  t.equal(authoritiesSettled(seen[2] ?? (await look(store, nowMs))).status, 'true');
  stop.abort(new Error('enough'));
  await t.rejects(kept, { message: 'enough' });
});
