import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Logger } from 'pino';
import { client } from '../../ipc/client.js';
import { implement } from '../../ipc/server.js';
import { certs, type EncryptionProgress } from '../../ipc/services/certs.js';
import { host, type ConditionUpdate } from '../../ipc/services/host.js';
import { JobPool } from '../../jobs/pool.js';
import { isHamletError, messageOf, type HamletError } from '../../lib/errors.js';
import { sleep } from '../../lib/time.js';
import type { Rereads } from '../../platform/components.js';
import type { Config } from '../../platform/config.js';
import type { Lifetimes } from '../../platform/lifetimes.js';
import { runPaths } from '../../platform/paths.js';
import { NodeKeySealer, type Sealer } from '../../platform/sealer.js';
import { runWorker } from '../run.js';
import { AuditTrail } from './audit.js';
import { loadOrBootstrap } from './bootstrap.js';
import type { Encryption } from './encryption.js';
import { issuePki } from './issue.js';
import { isForTheClock, type Pki, type PkiValues } from './pki.js';
import type { NodeFacts } from './profiles.js';
import { keepRenewed } from './renewal.js';
import { RotationControl, trustMs } from './rotation-control.js';
import { SealedStore } from './sealed-store.js';
import { CertsService, type PkiState } from './service.js';

/** What the main thread gives this worker. */
export interface CertsData {
  readonly config: Config;
  readonly nodeName: string;
  readonly nodeAddresses: readonly string[];
  readonly firstServiceIp: string;
  readonly etcdSocket: string;
  /** Of the Kubernetes that this node runs. */
  readonly rereads: Rereads;
  /** Seals the private keys in etcd; 32 bytes. */
  readonly sealingKey: Uint8Array;
}

/** Between two tries when etcd is there and does not do as it should. */
const retryMs = 250;

/** Before a PKI is looked at again that was refused for the clock, in milliseconds. */
const refusedMs = 30_000;

/** The wall clock, looked up anew each time: tests move it. */
const now = (): number => Date.now();

void runWorker<CertsData>('certs', ({ connection, data, signal, log }) => {
  const jobs = new JobPool();
  // The only place that says what seals: it may as well be a TPM.
  const sealer: Sealer = new NodeKeySealer(data.sealingKey);
  const { pki: lifetimes, ports } = data.config;
  const facts = factsOf(data);
  const audit = new AuditTrail(path.join(data.config.paths.state, 'audit.jsonl'));
  const rotation = new RotationControl(trustMs(data.rereads));
  const service = new CertsService({
    jobs,
    apiserverPort: ports.apiserver,
    lifetimes,
    facts,
    policy: data.config.debug,
    audit,
    now,
    rotation,
    secretsFolder: runPaths(data.config.paths.run).secrets,
    checkSecrets: (encryption, within) =>
      look({ data, sealer, rotation }, encryption, AbortSignal.any([signal, within])),
  });
  const hostClient = client(connection, host);

  const report = (condition: ConditionUpdate): void => {
    hostClient.setConditions({ conditions: [condition] }, { signal }).catch((error: unknown) => {
      if (!signal.aborted) log.warn({ err: error }, `the condition ${condition.name} could not be set`);
    });
  };
  const enter = (state: PkiState): void => {
    service.state = state;
    report(service.condition);
  };
  void work({ data, jobs, sealer, facts, audit, rotation, enter, report, log, signal });
  return { services: [implement(certs, service.handlers)], stop: () => jobs[Symbol.asyncDispose]() };
});

interface Work {
  readonly data: CertsData;
  readonly jobs: JobPool;
  readonly sealer: Sealer;
  readonly facts: NodeFacts;
  readonly audit: AuditTrail;
  readonly rotation: RotationControl;
  readonly enter: (state: PkiState) => void;
  readonly report: (condition: ConditionUpdate) => void;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

function factsOf({ config, nodeName, nodeAddresses, firstServiceIp }: CertsData): NodeFacts {
  return { nodeName, nodeAddresses, firstServiceIp, clusterDomain: config.network.clusterDomain };
}

/**
 * Brings the PKI from etcd, or into it, and keeps it fresh. One that cannot be used is a state that stays, unless it is
 * the clock that has to be set.
 */
async function work(options: Work): Promise<void> {
  const { enter, log, signal } = options;
  const isNews = ({ kind }: PkiState) => kind !== 'waiting';
  // Who was refused has nothing new to say until it is ready, or refused for something else.
  const again: Work = { ...options, enter: (state) => isNews(state) && enter(state) };
  let before: string | undefined;
  for (;;) {
    const refused = await keep(before === undefined ? options : again);
    if (refused === undefined) return;
    if (refused.message !== before) {
      log.error({ err: refused }, refused.message);
      enter({ kind: 'refused', error: refused });
    }
    if (!isForTheClock(refused)) return;
    before = refused.message;
    await sleep(refusedMs, signal).catch(() => undefined);
  }
}

/** Does its work until it is stopped, or gives why the PKI cannot be used; what is not foreseen ends the thread. */
async function keep(options: Work): Promise<HamletError | undefined> {
  const { enter, facts, log, signal } = options;
  try {
    const pki = await obtain(options);
    enter({ kind: 'ready', pki });
    return await keepRenewed(pki, {
      facts,
      lifetimes: options.data.config.pki,
      rotation: options.rotation,
      now,
      renew: (_signal, surelyEarly) => renew(options, surelyEarly),
      onPki: (renewed) => enter({ kind: 'ready', pki: renewed }),
      onCondition: onChange(options.report),
      log,
      signal,
    });
  } catch (error) {
    if (signal.aborted) return undefined;
    if (!isHamletError(error, 'DATA_LOSS') && !isHamletError(error, 'FAILED_PRECONDITION')) throw error;
    return error;
  }
}

/** Passes on a condition that differs from the one of its name before it. */
function onChange(report: (condition: ConditionUpdate) => void): (condition: ConditionUpdate) => void {
  const last = new Map<string, string>();
  return (condition) => {
    const text = JSON.stringify(condition);
    if (text !== last.get(condition.name)) report(condition);
    last.set(condition.name, text);
  };
}

async function obtain(options: Work): Promise<Pki> {
  const { data, jobs, sealer, facts, enter, log, signal } = options;
  const { etcdSocket, rereads } = data;
  const lifetimes = data.config.pki;
  const waiting = { kind: 'waiting', reason: 'WaitingForEtcd' } as const;
  enter({ ...waiting, message: `waits for etcd at ${etcdSocket}` });
  const prepared = isNewNode(data.config) ? prepare(jobs, facts, lifetimes, signal) : undefined;
  // Loaded while etcd starts, and after the job threads have begun.
  const { EtcdStore, waitForSocket } = await import('./store.js');
  for (;;) {
    await waitForSocket(etcdSocket, signal);
    await using etcd = new EtcdStore(etcdSocket);
    const store = new SealedStore(etcd, sealer);
    try {
      return await loadOrBootstrap({ store, jobs, facts, lifetimes, rereads, now, prepared, log, signal });
    } catch (error) {
      if (!isHamletError(error, 'UNAVAILABLE')) throw error;
      log.warn({ err: error }, 'etcd does not answer, trying again');
      enter({ ...waiting, message: `waits for etcd at ${etcdSocket}: ${messageOf(error)}` });
    }
    await sleep(retryMs, signal);
  }
}

/** Issues what is due and goes on with a rotation, in an etcd that has been there before. */
async function renew(
  { data, jobs, sealer, facts, audit, rotation, log, signal }: Work,
  surelyEarly: boolean,
): Promise<Pki> {
  const { EtcdStore } = await import('./store.js');
  await using etcd = new EtcdStore(data.etcdSocket);
  const store = new SealedStore(etcd, sealer);
  return await loadOrBootstrap({
    store,
    jobs,
    facts,
    lifetimes: data.config.pki,
    rereads: data.rereads,
    now,
    surelyEarly,
    rotation: () => ({ ...rotation.facts, heldUntilMs: audit.heldUntilMs() }),
    log,
    signal,
  });
}

/** See CheckSecrets in service.ts. */
async function look(
  { data, sealer, rotation }: Pick<Work, 'data' | 'sealer' | 'rotation'>,
  encryption: Encryption,
  signal: AbortSignal,
): Promise<EncryptionProgress> {
  const [{ EtcdStore }, { checkSecrets }] = await Promise.all([
    import('./store.js'),
    import('./secrets-check.js'),
  ]);
  await using etcd = new EtcdStore(data.etcdSocket);
  const store = new SealedStore(etcd, sealer);
  const progress = await checkSecrets(etcd, store, encryption, signal);
  // The record in etcd has changed under the one that is held here.
  if (progress === 'done') rotation.look();
  return progress;
}

/**
 * Whether there is most likely no PKI yet: no kubelet has been started with one. etcd's own folder is no sign, it is
 * filled while this worker starts.
 */
function isNewNode({ paths }: Config): boolean {
  return !existsSync(path.join(paths.kubeletPki, 'ca.crt'));
}

/** Issues a PKI before it is known whether it is needed: etcd's start takes as long, and the other core is idle. */
function prepare(
  jobs: JobPool,
  facts: NodeFacts,
  lifetimes: Lifetimes,
  signal: AbortSignal,
): Promise<PkiValues> {
  const prepared = issuePki(jobs, facts, now(), signal, lifetimes);
  // Thrown where it is awaited; until then nobody listens.
  prepared.catch(() => {});
  return prepared;
}
