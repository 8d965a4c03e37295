import { JobPool } from '../../src/jobs/pool.js';
import { builtRereads } from '../../src/platform/components.js';
import { defaultLifetimes } from '../../src/platform/lifetimes.js';
import { loadOrBootstrap, type BootstrapOptions } from '../../src/workers/certs/bootstrap.js';
import type { Pki, PkiValues } from '../../src/workers/certs/pki.js';
import { authorityNames, leafNames } from '../../src/workers/certs/profiles.js';
import { facts, never } from '../unit/certs/fixtures.js';
import type { TestEtcd } from './certs-etcd.js';

/** Number of values of a PKI: certificate and key of each name and each successor, the service account key, the key for Secrets. */
export const pkiSize = 2 * (2 * authorityNames.length + leafNames.length) + 2;

/** Loads or makes the PKI in this etcd, as the certs worker does. */
export async function bootstrap(etcd: TestEtcd, options: Partial<BootstrapOptions> = {}): Promise<Pki> {
  await using jobs = new JobPool();
  await using store = etcd.store();
  return await loadOrBootstrap({
    ...{
      store,
      jobs,
      facts,
      lifetimes: defaultLifetimes,
      rereads: builtRereads,
      now: Date.now,
      log: { info: () => undefined },
      signal: never,
    },
    ...options,
  });
}

export async function valuesIn(etcd: TestEtcd): Promise<PkiValues> {
  await using store = etcd.store();
  return (await store.read(never)).values;
}

/** The fingerprint of each certificate, by its name. */
export function fingerprints(pki: Pki): Record<string, string> {
  const credentials = Object.entries({ ...pki.authorities, ...pki.leaves });
  return Object.fromEntries(credentials.map(([name, { certificate }]) => [name, certificate.fingerprint256]));
}
