import type { Logger } from 'pino';
import type { JobPool } from '../../jobs/pool.js';
import type { Rereads } from '../../platform/components.js';
import type { Lifetimes } from '../../platform/lifetimes.js';
import {
  encryptionDueMs,
  encryptionRecord,
  newEncryption,
  rotatedEncryption,
  type Encryption,
} from './encryption.js';
import { whyReplaced } from './dates.js';
import {
  issueAuthorities,
  issueLeaves,
  issuePki,
  issueSuccessors,
  replaceAuthorities,
  switchAuthorities,
  type Issuing,
} from './issue.js';
import {
  applyChanges,
  certificateKey,
  encryptionKey,
  encryptionOf,
  missingAuthorities,
  parseAuthorities,
  parsePki,
  rotationKey,
  rotationOf,
  type Authorities,
  type Pki,
  type PkiChanges,
  type PkiValues,
} from './pki.js';
import { authorityNames, predecessorOf, successorOf, type NodeFacts } from './profiles.js';
import { describeRotation, nextStep, recordOf, settlingMs, type RotationFacts } from './rotation.js';
import { isMisdatedKey, staleLeaves, staleSuccessors } from './stale.js';
import type { PkiStore, Snapshot } from './store.js';

export interface BootstrapOptions {
  readonly store: PkiStore;
  readonly jobs: JobPool;
  readonly facts: NodeFacts;
  readonly lifetimes: Lifetimes;
  /** How soon the components take what has changed. */
  readonly rereads: Rereads;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** A PKI that was made on the chance that there is none. */
  readonly prepared?: Promise<PkiValues> | undefined;
  /** Authorities that are not valid yet are so by a clock that is right by now: see whyReplaced(). */
  readonly surelyEarly?: boolean;
  /** What is known of a rotation beside what the store says; without it, none is begun or gone on with. */
  readonly rotation?: () => Omit<RotationFacts, 'nowMs'> & {
    /** Until when what has been issued to others is good, wall clock. */
    readonly heldUntilMs: number;
  };
  readonly log: Pick<Logger, 'info'>;
  readonly signal: AbortSignal;
}

/**
 * Gives the PKI in the store. One that is not there is made, leaves that are missing, too old or for other names are
 * made anew, and a rotation of the authorities goes its next step; each is one transaction, so a crash at any moment
 * leaves what was there or what is wanted.
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
  const { store, facts, signal, log } = options;
  const nowMs = options.now();
  const { changes, reasons } = await dueChanges(options, snapshot.values, nowMs);
  if (changes.size === 0) return parsePki(snapshot.values, facts, nowMs);
  const renewed = parsePki(applyChanges(snapshot.values, changes), facts, nowMs);
  if (!(await store.write(changes, snapshot, signal))) return undefined;
  if (reasons.size > 0) log.info({ certificates: Object.fromEntries(reasons) }, 'issued certificates anew');
  if (changes.has(encryptionKey))
    log.info('made a new key for Secrets; the API server takes it when it starts');
  if (changes.has(rotationKey)) log.info(describeRotation(renewed.rotation));
  return renewed;
}

/** The keys for Secrets when the next one is due; the first one of an older cluster is, too. */
function dueEncryption(
  values: PkiValues,
  authorities: Authorities,
  nowMs: number,
  lifetimeMs: number,
): Encryption | undefined {
  const encryption = encryptionOf(values);
  if (encryption === undefined) return newEncryption(nowMs, true);
  const isDue =
    nowMs >= encryptionDueMs(encryption, lifetimeMs) || isMisdatedKey(encryption, authorities, nowMs);
  return isDue ? rotatedEncryption(encryption, nowMs) : undefined;
}

/** The record of successors that begin to sign now. What has been issued to others ends as late as it can. */
function settlingFrom(nowMs: number, { rotation, rereads, lifetimes }: BootstrapOptions) {
  const heldMs = Math.min(rotation?.().heldUntilMs ?? 0, nowMs + lifetimes.debugMaxMs);
  return {
    phase: 'settling',
    sinceMs: nowMs,
    untilMs: Math.max(nowMs + settlingMs(rereads), heldMs),
  } as const;
}

interface Due {
  readonly changes: PkiChanges;
  /** Why each of these was issued. */
  readonly reasons: ReadonlyMap<string, string>;
}

/** What has to change in a PKI that is there: a step of a rotation, or else what is missing or too old. */
async function dueChanges(options: BootstrapOptions, held: PkiValues, nowMs: number): Promise<Due> {
  const { jobs, facts, lifetimes, signal } = options;
  const issuing: Issuing = { jobs, facts, lifetimes, nowMs, signal };
  const lacking = missingAuthorities(held, facts);
  const added = await issueAuthorities(lacking, issuing);
  const values = applyChanges(held, added);
  const authorities = parseAuthorities(values, facts, nowMs);
  const why = authorityNames
    .map((name) => whyReplaced(authorities[name].certificate, nowMs, options.surelyEarly ?? false))
    .find((reason) => reason !== undefined);
  if (why !== undefined) {
    return { changes: await replaceAuthorities(issuing), reasons: new Map([['all', why]]) };
  }
  const known = { nowMs, asked: false, delivered: false, ...options.rotation?.() };
  // A rotation is of authorities that are all there.
  const step = lacking.length > 0 ? undefined : nextStep(rotationOf(values), known);
  switch (step) {
    case 'settle':
      return {
        changes: new Map([[rotationKey, recordOf(settlingFrom(nowMs, options))]]),
        reasons: new Map(),
      };
    case 'switch': {
      const settling = settlingFrom(nowMs, options);
      const changes = await switchAuthorities(values, parsePki(values, facts, nowMs), settling, issuing);
      return { changes, reasons: new Map() };
    }
    case 'finish': {
      const gone = [rotationKey, ...authorityNames.map((name) => certificateKey(predecessorOf(name)))];
      return { changes: new Map(gone.map((key) => [key, null])), reasons: new Map() };
    }
    case 'begin':
    case undefined: {
      const missing = staleSuccessors(values, nowMs);
      const stale = staleLeaves(values, authorities, facts, nowMs, lifetimes);
      const leaves = await issueLeaves(jobs, authorities, stale.keys(), facts, nowMs, signal, lifetimes);
      const successorValues = await issueSuccessors(missing, issuing);
      const changes = new Map<string, Uint8Array>([...added, ...successorValues, ...leaves]);
      const encryption = dueEncryption(values, authorities, nowMs, lifetimes.secretsKeyMs);
      if (encryption !== undefined) changes.set(encryptionKey, encryptionRecord(encryption));
      if (step === 'begin') changes.set(rotationKey, recordOf({ phase: 'trusting', sinceMs: nowMs }));
      const first = lacking.map((name) => [name, 'there is none'] as const);
      const successors = missing.map((name) => [successorOf(name), 'there is none to follow'] as const);
      return { changes, reasons: new Map<string, string>([...first, ...successors, ...stale]) };
    }
    default:
      return step satisfies never;
  }
}
