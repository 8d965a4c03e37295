import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parseAuthorities, parsePki, type Pki, type PkiValues } from '../../src/workers/certs/pki.js';
import { authorityNames } from '../../src/workers/certs/profiles.js';
import { SealedStore } from '../../src/workers/certs/sealed-store.js';
import { isSealed } from '../../src/platform/sealer.js';
import { staleLeaves } from '../../src/workers/certs/stale.js';
import { defaultLifetimes } from '../../src/platform/lifetimes.js';
import { sleep } from '../../src/lib/time.js';
import { facts, freshPki, never } from '../unit/certs/fixtures.js';
import { TestEtcd } from './certs-etcd.js';
import { bootstrap, fingerprints, pkiSize, valuesIn } from './certs-helpers.js';
import { optionsOf, sealer, type Situation } from './certs-situation.js';

// Six dozen processes that each issue certificates, on a machine that may be busy.
t.setTimeout(900_000);

const killedBootstrap = fileURLToPath(new URL('./fixtures/certs-killed.js', import.meta.url));

/** Runs a bootstrap that kills itself at a moment; gives the signal that ended it. */
async function killedAt(etcd: TestEtcd, situation: Situation, moment: string): Promise<string | null> {
  const child = spawn(process.execPath, [killedBootstrap, etcd.socket, JSON.stringify(situation), moment], {
    stdio: 'inherit',
  });
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  if (code !== null && code !== 0) throw new Error(`the bootstrap ended with code ${code}`);
  return signal;
}

/** One look that nobody interrupts, with sealed keys as in the certs worker. */
async function look(etcd: TestEtcd, situation: Situation = {}): Promise<Pki> {
  await using store = etcd.store();
  return await bootstrap(etcd, { ...optionsOf(situation), store: new SealedStore(store, sealer) });
}

/** What is in etcd, opened. */
async function openedIn(etcd: TestEtcd): Promise<PkiValues> {
  await using store = etcd.store();
  return (await new SealedStore(store, sealer).read(never)).values;
}

/** Puts back what was in etcd before, whatever is in it now. */
async function restore(etcd: TestEtcd, values: PkiValues): Promise<void> {
  await using store = etcd.store();
  const snapshot = await store.read(never);
  const gone = [...snapshot.values.keys()].map((key) => [key, null] as const);
  await store.write(new Map<string, Uint8Array | null>([...gone, ...values]), snapshot, never);
}

const aroundTheWrite = ['before-write', '0', '1', '2', '4', '16', 'after-write'];

void t.test('a first start killed at any moment leaves all or nothing', async (t) => {
  for (const moment of ['before-read', 'after-read', ...aroundTheWrite, 'never']) {
    await using etcd = await TestEtcd.start();
    t.equal(await killedAt(etcd, {}, moment), moment === 'never' ? null : 'SIGKILL');
    const left = await valuesIn(etcd);
    if (moment === 'after-write' || moment === 'never') t.equal(left.size, pkiSize, moment);
    else if (!/^\d/.test(moment)) t.equal(left.size, 0, moment);
    else t.ok([0, pkiSize].includes(left.size), `${moment} turns after the write: ${left.size} values`);
    t.ok(isSealedWhole(left), 'its keys are sealed, and nothing else');
    const opened = await openedIn(etcd);
    const pki = await look(etcd);
    if (left.size > 0) t.same(fingerprints(pki), fingerprints(parsePki(opened, facts, Date.now())));
  }
});

void t.test('a renewal killed at any moment leaves the old leaves or the new ones', async (t) => {
  await using etcd = await TestEtcd.start();
  await look(etcd);
  for (const [index, moment] of aroundTheWrite.entries()) {
    const address = `192.0.2.${100 + index}`;
    const moved = { ...facts, nodeAddresses: [address] };
    t.equal(await killedAt(etcd, { address }, moment), 'SIGKILL');
    const left = await openedIn(etcd);
    const authorities = parseAuthorities(left, moved, Date.now());
    const stale = staleLeaves(left, authorities, moved, Date.now(), defaultLifetimes).size;
    // Five leaves are for servers that others reach by the node's address.
    if (moment === 'before-write') t.equal(stale, 5);
    else if (moment === 'after-write') t.equal(stale, 0);
    else t.ok([0, 5].includes(stale), `${moment} turns after the write: ${stale} old leaves`);
    await look(etcd, { address });
  }
});

const hourMs = 3_600_000;
const startMs = Date.now();

interface Step {
  /** What has been done before it. */
  readonly before: readonly Situation[];
  readonly situation: Situation;
  readonly isDone: (pki: Pki) => boolean;
}

const steps: Readonly<Record<string, Step>> = {
  'the begin of a rotation': {
    before: [{}],
    situation: { asked: true },
    isDone: ({ rotation }) => rotation?.phase === 'trusting',
  },
  'the switch to the successors': {
    before: [{}, { asked: true }],
    situation: { delivered: true },
    isDone: ({ rotation, predecessors }) =>
      rotation?.phase === 'settling' && Object.keys(predecessors).length === authorityNames.length,
  },
  'the end of a rotation': {
    before: [{}, { asked: true }, { delivered: true }],
    situation: { delivered: true, nowMs: startMs + hourMs },
    isDone: ({ rotation, predecessors }) => rotation === undefined && Object.keys(predecessors).length === 0,
  },
  'the replacement of authorities that a wrong clock has issued': {
    before: [{ nowMs: startMs + 10_000 * hourMs }],
    situation: { surelyEarly: true },
    isDone: ({ rotation }) => rotation?.phase === 'replaced',
  },
  'the next key for Secrets': {
    before: [{}],
    situation: { secretsKeyMs: hourMs, nowMs: startMs + 2 * hourMs },
    isDone: ({ encryption }) => encryption.keys.length === 2,
  },
};

for (const [name, { before, situation, isDone }] of Object.entries(steps)) {
  void t.test(`${name}, killed at any moment, is made or is not`, async (t) => {
    await using etcd = await TestEtcd.start();
    let prepared: Pki | undefined;
    for (const done of before) prepared = await look(etcd, done);
    t.notOk(prepared === undefined || isDone(prepared), 'there is something to do');
    const held = await valuesIn(etcd);
    for (const moment of aroundTheWrite) {
      t.equal(await killedAt(etcd, situation, moment), 'SIGKILL');
      const isOld = equal(await valuesIn(etcd), held);
      if (moment === 'before-write') t.ok(isOld, moment);
      if (moment === 'after-write') t.notOk(isOld, moment);
      if (!isOld) {
        const left = parsePki(await openedIn(etcd), facts, situation.nowMs ?? Date.now());
        t.ok(isDone(left), `${moment}: what was written is whole`);
        t.same(
          fingerprints(await look(etcd, situation)),
          fingerprints(left),
          'and the next one goes on from it',
        );
      }
      t.ok(isDone(await look(etcd, situation)), 'the next one makes it');
      await restore(etcd, held);
    }
  });
}

void t.test(
  'sealing what an older version left in plain, killed at any moment, seals all or nothing',
  async (t) => {
    await using etcd = await TestEtcd.start();
    const plain = await bootstrap(etcd);
    const held = await valuesIn(etcd);
    for (const moment of aroundTheWrite) {
      t.equal(await killedAt(etcd, {}, moment), 'SIGKILL');
      const left = await valuesIn(etcd);
      const isOld = equal(left, held);
      if (moment === 'before-write') t.ok(isOld, moment);
      if (moment === 'after-write') t.notOk(isOld, moment);
      if (!isOld) t.ok(isSealedWhole(left), 'every key');
      t.same(fingerprints(await look(etcd)), fingerprints(plain));
      await restore(etcd, held);
    }
  },
);

function isSealedWhole(values: PkiValues): boolean {
  return [...values].every(([name, value]) => isSealed(value) === name.endsWith('.key'));
}

function equal(one: PkiValues, other: PkiValues): boolean {
  const isThere = ([key, value]: [string, Uint8Array]) => other.get(key)?.toString() === value.toString();
  return one.size === other.size && [...one].every(isThere);
}

void t.test('an etcd killed under the write keeps all or nothing', async (t) => {
  const prepared = freshPki();
  for (const delayMs of [0, 1, 2, 4, 8]) {
    await using etcd = await TestEtcd.start();
    await using store = etcd.store();
    let killed = Promise.resolve();
    const write = async (...args: Parameters<typeof store.write>): Promise<boolean> => {
      const written = store.write(...args);
      killed = sleep(delayMs, never).then(() => etcd.kill());
      return await written;
    };
    const read = (signal: AbortSignal) => store.read(signal);
    const told = await bootstrap(etcd, { store: { read, write }, prepared }).then(
      () => true,
      () => false,
    );
    // Not the one that is started next, when the write was quicker than the delay.
    await killed;
    await etcd.start();
    const left = (await valuesIn(etcd)).size;
    if (told) t.equal(left, pkiSize, `${delayMs} ms: what was confirmed is there`);
    else t.ok([0, pkiSize].includes(left), `${delayMs} ms: ${left} values`);
  }
});
