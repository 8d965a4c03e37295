import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parseAuthorities, parsePki } from '../../src/workers/certs/pki.js';
import { staleLeaves } from '../../src/workers/certs/stale.js';
import { defaultLifetimes } from '../../src/platform/lifetimes.js';
import { sleep } from '../../src/lib/time.js';
import { facts, freshPki, never } from '../unit/certs/fixtures.js';
import { TestEtcd } from './certs-etcd.js';
import { bootstrap, fingerprints, pkiSize, valuesIn } from './certs-helpers.js';

// Two dozen processes that each issue a PKI, on a machine that may be busy.
t.setTimeout(180_000);

const killedBootstrap = fileURLToPath(new URL('./fixtures/certs-killed.js', import.meta.url));

/** Runs a bootstrap that kills itself at a moment; gives the signal that ended it. */
async function killedAt(etcd: TestEtcd, address: string, moment: string): Promise<string | null> {
  const child = spawn(process.execPath, [killedBootstrap, etcd.socket, address, moment], {
    stdio: 'inherit',
  });
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  if (code !== null && code !== 0) throw new Error(`the bootstrap ended with code ${code}`);
  return signal;
}

const [address = ''] = facts.nodeAddresses;
const aroundTheWrite = ['before-write', '0', '1', '2', '4', '16', 'after-write'];

void t.test('a first start killed at any moment leaves all or nothing', async (t) => {
  for (const moment of ['before-read', 'after-read', ...aroundTheWrite, 'never']) {
    await using etcd = await TestEtcd.start();
    t.equal(await killedAt(etcd, address, moment), moment === 'never' ? null : 'SIGKILL');
    const left = await valuesIn(etcd);
    if (moment === 'after-write' || moment === 'never') t.equal(left.size, pkiSize, moment);
    else if (!/^\d/.test(moment)) t.equal(left.size, 0, moment);
    else t.ok([0, pkiSize].includes(left.size), `${moment} turns after the write: ${left.size} values`);
    const pki = await bootstrap(etcd);
    if (left.size > 0) t.same(fingerprints(pki), fingerprints(parsePki(left, facts, Date.now())));
  }
});

void t.test('a renewal killed at any moment leaves the old leaves or the new ones', async (t) => {
  await using etcd = await TestEtcd.start();
  await bootstrap(etcd);
  for (const [index, moment] of aroundTheWrite.entries()) {
    const moved = { ...facts, nodeAddresses: [`192.0.2.${100 + index}`] };
    t.equal(await killedAt(etcd, `192.0.2.${100 + index}`, moment), 'SIGKILL');
    const left = await valuesIn(etcd);
    const authorities = parseAuthorities(left, moved, Date.now());
    const stale = staleLeaves(left, authorities, moved, Date.now(), defaultLifetimes).size;
    // Five leaves are for servers that others reach by the node's address.
    if (moment === 'before-write') t.equal(stale, 5);
    else if (moment === 'after-write') t.equal(stale, 0);
    else t.ok([0, 5].includes(stale), `${moment} turns after the write: ${stale} old leaves`);
    await bootstrap(etcd, { facts: moved });
  }
});

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
