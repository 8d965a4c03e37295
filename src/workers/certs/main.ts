import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Logger } from 'pino';
import { client } from '../../ipc/client.js';
import { implement } from '../../ipc/server.js';
import { certs } from '../../ipc/services/certs.js';
import { host } from '../../ipc/services/host.js';
import { JobPool } from '../../jobs/pool.js';
import { isHamletError, messageOf } from '../../lib/errors.js';
import { sleep } from '../../lib/time.js';
import type { Config } from '../../platform/config.js';
import { runWorker } from '../run.js';
import { loadOrBootstrap } from './bootstrap.js';
import { issuePki } from './issue.js';
import type { Pki, PkiValues } from './pki.js';
import type { NodeFacts } from './profiles.js';
import { CertsService, type PkiState } from './service.js';

/** What the main thread gives this worker. */
export interface CertsData {
  readonly config: Config;
  readonly nodeName: string;
  readonly nodeAddresses: readonly string[];
  readonly firstServiceIp: string;
  readonly etcdSocket: string;
}

/** Between two tries when etcd is there and does not do as it should. */
const retryMs = 250;

await runWorker<CertsData>('certs', ({ connection, data, signal, log }) => {
  const jobs = new JobPool();
  const service = new CertsService({ jobs, apiserverPort: data.config.ports.apiserver, now: Date.now });
  const hostClient = client(connection, host);

  const enter = (state: PkiState): void => {
    service.state = state;
    hostClient.setConditions({ conditions: [service.condition] }, { signal }).catch((error: unknown) => {
      if (!signal.aborted) log.warn({ err: error }, 'the condition PKIReady could not be set');
    });
  };
  void bootstrap(data, jobs, enter, log, signal);
  return { services: [implement(certs, service.handlers)], stop: () => jobs[Symbol.asyncDispose]() };
});

/** Brings the PKI from etcd, or into it. Ends with a state that stays; what is not foreseen ends the thread. */
async function bootstrap(
  data: CertsData,
  jobs: JobPool,
  enter: (state: PkiState) => void,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  try {
    const pki = await obtain(data, jobs, enter, log, signal);
    enter({ kind: 'ready', pki });
  } catch (error) {
    if (signal.aborted) return;
    if (!isHamletError(error, 'DATA_LOSS') && !isHamletError(error, 'FAILED_PRECONDITION')) throw error;
    log.error({ err: error }, error.message);
    enter({ kind: 'refused', error });
  }
}

async function obtain(
  data: CertsData,
  jobs: JobPool,
  enter: (state: PkiState) => void,
  log: Logger,
  signal: AbortSignal,
): Promise<Pki> {
  const { nodeName, nodeAddresses, firstServiceIp, etcdSocket } = data;
  const { clusterDomain } = data.config.network;
  const facts: NodeFacts = { nodeName, nodeAddresses, firstServiceIp, clusterDomain };
  const waiting = { kind: 'waiting', reason: 'WaitingForEtcd' } as const;
  enter({ ...waiting, message: `waits for etcd at ${etcdSocket}` });
  const prepared = isNewNode(data.config) ? prepare(jobs, facts, signal) : undefined;
  // Loaded while etcd starts, and after the job threads have begun.
  const { EtcdStore, waitForSocket } = await import('./store.js');
  for (;;) {
    await waitForSocket(etcdSocket, signal);
    await using store = new EtcdStore(etcdSocket);
    try {
      return await loadOrBootstrap({ store, jobs, facts, now: Date.now, prepared, log, signal });
    } catch (error) {
      if (!isHamletError(error, 'UNAVAILABLE')) throw error;
      log.warn({ err: error }, 'etcd does not answer, trying again');
      enter({ ...waiting, message: `waits for etcd at ${etcdSocket}: ${messageOf(error)}` });
    }
    await sleep(retryMs, signal);
  }
}

/**
 * Whether there is most likely no PKI yet: no kubelet has been started with one. etcd's own folder is no sign, it is
 * filled while this worker starts.
 */
function isNewNode({ paths }: Config): boolean {
  return !existsSync(path.join(paths.kubeletPki, 'ca.crt'));
}

/** Issues a PKI before it is known whether it is needed: etcd's start takes as long, and the other core is idle. */
function prepare(jobs: JobPool, facts: NodeFacts, signal: AbortSignal): Promise<PkiValues> {
  const prepared = issuePki(jobs, facts, Date.now(), signal);
  // Thrown where it is awaited; until then nobody listens.
  prepared.catch(() => {});
  return prepared;
}
