import type { Logger } from 'pino';
import type { JobPool } from '../../jobs/pool.js';
import type { Lifetimes } from '../../platform/lifetimes.js';
import { issueLeaves, issuePki } from './issue.js';
import { parseAuthorities, parsePki, staleLeaves, type Pki, type PkiValues } from './pki.js';
import type { NodeFacts } from './profiles.js';
import type { PkiStore, Snapshot } from './store.js';

export interface BootstrapOptions {
  readonly store: PkiStore;
  readonly jobs: JobPool;
  readonly facts: NodeFacts;
  readonly lifetimes: Lifetimes;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** A PKI that was made on the chance that there is none. */
  readonly prepared?: Promise<PkiValues> | undefined;
  readonly log: Pick<Logger, 'info'>;
  readonly signal: AbortSignal;
}

/**
 * Gives the PKI in the store. One that is not there is made, leaves that are missing, too old or for other names are
 * made anew; either is one transaction, so a crash at any moment leaves what was there or what is wanted.
 * Throws what parsePki throws for a PKI that cannot be used, UNAVAILABLE when the store does not answer.
 */
export async function loadOrBootstrap(options: BootstrapOptions): Promise<Pki> {
  for (;;) {
    const snapshot = await options.store.read(options.signal);
    const pki = snapshot.values.size === 0 ? await create(options, snapshot) : await renew(options, snapshot);
    if (pki !== undefined) return pki;
    // Somebody else wrote in between, such as a worker that died with its transaction under way. Look again.
  }
}

async function create(options: BootstrapOptions, snapshot: Snapshot): Promise<Pki | undefined> {
  const { store, jobs, facts, lifetimes, signal, log } = options;
  const nowMs = options.now();
  const values = await (options.prepared ?? issuePki(jobs, facts, nowMs, signal, lifetimes));
  // What is issued passes the same checks as what is read, before anything is written.
  const pki = parsePki(values, facts, nowMs);
  if (!(await store.write(values, snapshot, signal))) return undefined;
  log.info({ keys: values.size }, 'issued the PKI of a new cluster');
  return pki;
}

async function renew(options: BootstrapOptions, snapshot: Snapshot): Promise<Pki | undefined> {
  const { store, jobs, facts, lifetimes, signal, log } = options;
  const nowMs = options.now();
  const authorities = parseAuthorities(snapshot.values, facts, nowMs);
  const stale = staleLeaves(snapshot.values, authorities, facts, nowMs);
  if (stale.size === 0) return parsePki(snapshot.values, facts, nowMs);
  const fresh = await issueLeaves(jobs, authorities, stale.keys(), facts, nowMs, signal, lifetimes);
  const renewed = parsePki(new Map([...snapshot.values, ...fresh]), facts, nowMs);
  if (!(await store.write(fresh, snapshot, signal))) return undefined;
  log.info({ certificates: Object.fromEntries(stale) }, 'issued certificates anew');
  return renewed;
}
