import { JobPool } from '../../../src/jobs/pool.js';
import { issuePki } from '../../../src/workers/certs/issue.js';
import { applyChanges, type PkiValues } from '../../../src/workers/certs/pki.js';
import type { NodeFacts } from '../../../src/workers/certs/profiles.js';
import type { PkiStore } from '../../../src/workers/certs/store.js';

export const facts: NodeFacts = {
  nodeName: `hamlet-${'0123456789abcdef'.repeat(2)}`,
  nodeAddresses: ['192.0.2.7'],
  firstServiceIp: '10.96.0.1',
  clusterDomain: 'cluster.local',
};

/** A signal for what is not aborted. */
export const never = new AbortController().signal;

/** A whole PKI, issued now or at the given moment. */
export async function freshPki(nowMs = Date.now(), node = facts): Promise<PkiValues> {
  await using jobs = new JobPool();
  return await issuePki(jobs, node, nowMs, never);
}

/** One value of a map that has to be there. */
export function valueOf(values: PkiValues, key: string): Buffer {
  const value = values.get(key);
  if (value === undefined) throw new Error(`no ${key}`);
  return Buffer.from(value);
}

/** A store in memory, for faults; the tests with etcd are in test/node. */
export function memory(initial: PkiValues): PkiStore & { fault: Error | undefined } {
  let held = initial;
  return {
    fault: undefined,
    async read() {
      if (this.fault !== undefined) throw this.fault;
      return { values: held, revisions: new Map() };
    },
    async write(changed) {
      held = applyChanges(held, changed);
      return true;
    },
  };
}
