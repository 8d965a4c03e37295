import { randomBytes } from 'node:crypto';
import t from 'tap';
import { HamletError } from '../../../src/lib/errors.js';
import { poll } from '../../../src/lib/time.js';
import { NodeKeySealer } from '../../../src/platform/sealer.js';
import { KeptCredentials } from '../../../src/workers/kubelet/kept-credentials.js';
import { followRenewals, type RenewalsOptions } from '../../../src/workers/kubelet/renewals.js';
import { silent } from '../../mesh/fixtures/mesh.js';
import { policyOf } from './context.js';

void t.test(
  'a component that cannot be served keeps nothing from the others, and is tried again',
  async (t) => {
    const stop = new AbortController();
    const { signal } = stop;
    t.teardown(() => stop.abort());
    const delivered: number[] = [];
    const given: string[] = [];
    let isBroken = true;
    const certs: RenewalsOptions['certs'] = {
      credentials: async ({ holder }) => ({ files: [{ name: 'ca.crt', data: Buffer.from(holder) }] }),
      delivered: async ({ revision }) => {
        delivered.push(revision);
        return {};
      },
      async *renewals() {
        yield { revision: 7, thorough: true, overdue: false };
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    };
    const host: RenewalsOptions['host'] = {
      changedSecrets: async ({ secrets }) => ({ changed: secrets.map(({ name }) => name) }),
      replaceSecrets: async ({ name }) => {
        if (name === 'kube.apiserver' && isBroken)
          throw new HamletError('INTERNAL', 'no space left on device');
        given.push(name);
        return {};
      },
      async *conditions() {
        yield { conditions: [], snapshot: true };
      },
    };
    const components = Object.values(policyOf()).map((component) => ({
      ...component,
      ...(component.credentials === 'none' ? {} : { credentials: 'ramfs' as const, reloads: ['ca.crt'] }),
    }));
    const stateFolder = t.testdir();
    const sealer = new NodeKeySealer(randomBytes(32));
    const followed = followRenewals({
      components,
      stateFolder,
      kept: new KeptCredentials({ folder: stateFolder, sealer, facts: [], now: Date.now }),
      isStarting: () => false,
      restart: (name) => t.fail(`${name} reads everything again by itself`),
      certs,
      host,
      log: silent,
      signal,
    });
    const waiting = { everyMs: 5, timeoutMs: 20_000 };
    const after = ['kube.scheduler', 'kube.kubelet'];
    await poll(() => (after.every((name) => given.includes(name)) ? true : undefined), {
      ...waiting,
      what: 'those that come after the one that fails',
    });
    t.same(delivered, [], 'nobody says that all have it');
    isBroken = false;
    await poll(() => (delivered.length > 0 ? true : undefined), { ...waiting, what: 'another try' });
    t.same(delivered, [7]);
    t.ok(given.includes('kube.apiserver'));
    stop.abort();
    await followed;
  },
);

void t.test(
  'what is not ready yet is started again with renewed certificates, though it would read them',
  async (t) => {
    const stop = new AbortController();
    const { signal } = stop;
    t.teardown(() => stop.abort());
    const [replaced, restarted]: [string[], string[]] = [[], []];
    const followed = followRenewals({
      components: Object.values(policyOf()).filter(({ name }) => name === 'kube.apiserver'),
      stateFolder: t.testdir(),
      kept: new KeptCredentials({
        folder: t.testdir(),
        sealer: new NodeKeySealer(randomBytes(32)),
        facts: [],
        now: Date.now,
      }),
      isStarting: () => true,
      restart: (name) => restarted.push(name),
      certs: {
        credentials: async () => ({ files: [{ name: 'ca.crt', data: Buffer.from('new') }] }),
        delivered: async () => {
          stop.abort();
          return {};
        },
        async *renewals() {
          yield { revision: 1, thorough: false, overdue: false };
        },
      },
      host: {
        changedSecrets: async () => ({ changed: ['ca.crt'] }),
        replaceSecrets: async ({ name }) => {
          replaced.push(name);
          return {};
        },
        async *conditions() {
          const apiserver = { name: 'kube.apiserver', message: '', sinceMs: 0 };
          yield { conditions: [], snapshot: true };
          yield { conditions: [{ ...apiserver, status: 'false', reason: 'Stopping' }], snapshot: false };
          yield { conditions: [{ ...apiserver, status: 'true', reason: '' }], snapshot: false };
        },
      },
      log: silent,
      signal,
    });
    await followed;
    t.same(restarted, ['kube.apiserver']);
    t.same(replaced, []);
  },
);
