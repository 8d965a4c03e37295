import type { CertificateRequest, KeyPairDer } from '../../jobs/issue-certificates.js';
import type { JobPool } from '../../jobs/pool.js';
import { HamletError } from '../../lib/errors.js';
import { defaultLifetimes, type Lifetimes } from '../../platform/lifetimes.js';
import {
  certificateKey,
  encryptionKey,
  notAfterMs,
  privateKeyKey,
  rotationKey,
  serviceAccountKeyName,
  type Authorities,
  type Credential,
  type Pki,
  type PkiChanges,
  type PkiValues,
} from './pki.js';
import {
  authorityNames,
  authorityProfile,
  leafNames,
  leafProfiles,
  predecessorOf,
  requestFor,
  serviceAccountKeyBits,
  successorOf,
  type AuthorityName,
  type LeafName,
  type NodeFacts,
  type Profile,
} from './profiles.js';
import { encryptionRecord, newEncryption } from './encryption.js';
import { recordOf, type Rotation } from './rotation.js';

/** Makes a whole PKI, as it goes into etcd. Some 250 ms on an idle core; the RSA key is made beside the rest. */
export async function issuePki(
  jobs: JobPool,
  facts: NodeFacts,
  nowMs: number,
  signal: AbortSignal,
  lifetimes: Lifetimes = defaultLifetimes,
): Promise<PkiValues> {
  const requests = allRequests(facts, nowMs, lifetimes);
  const [issued, serviceAccountKey] = await Promise.all([
    jobs.run('issueCertificates', { requests, authorities: {} }, signal),
    jobs.run('generateRsaKey', { bits: serviceAccountKeyBits }, signal),
  ]);
  return new Map([
    ...toValues(issued),
    [privateKeyKey(serviceAccountKeyName), serviceAccountKey],
    [encryptionKey, encryptionRecord(newEncryption(nowMs, false))],
  ]);
}

/** Every certificate of a PKI, the authorities first. */
function allRequests(facts: NodeFacts, nowMs: number, lifetimes: Lifetimes): CertificateRequest[] {
  const profiles = leafProfiles(facts);
  return [
    ...authorityNames.map((name) =>
      requestFor(name, authorityProfile(name, facts), { nowMs, lifetimeMs: lifetimes.authorityMs }),
    ),
    ...authorityNames.map((name) => successorRequest(name, facts, nowMs, lifetimes)),
    ...leafNames.map((name) => requestFor(name, profiles[name], { nowMs, lifetimeMs: lifetimes.leafMs })),
  ];
}

/**
 * The change by which every certificate is issued anew, authorities and all, and nobody trusts the old ones any more:
 * for authorities that nobody accepts because of their dates. The other keys stay.
 */
export async function replaceAuthorities({
  jobs,
  facts,
  nowMs,
  lifetimes,
  signal,
}: Issuing): Promise<PkiChanges> {
  const requests = allRequests(facts, nowMs, lifetimes);
  const issued = await jobs.run('issueCertificates', { requests, authorities: {} }, signal);
  return new Map<string, Uint8Array | null>([
    ...toValues(issued),
    ...authorityNames.map((name) => [certificateKey(predecessorOf(name)), null] as const),
    [rotationKey, recordOf({ phase: 'replaced', sinceMs: nowMs })],
  ]);
}

/** Issues these leaves, with new keys. */
export async function issueLeaves(
  jobs: JobPool,
  authorities: Authorities,
  names: Iterable<LeafName>,
  facts: NodeFacts,
  nowMs: number,
  signal: AbortSignal,
  lifetimes: Lifetimes = defaultLifetimes,
): Promise<PkiValues> {
  const profiles = leafProfiles(facts);
  const requests = Array.from(names, (name) =>
    leafRequest(authorities, name, profiles[name], nowMs, lifetimes.leafMs),
  );
  if (requests.length === 0) return new Map();
  return toValues(
    await jobs.run('issueCertificates', { requests, authorities: toSigners(authorities) }, signal),
  );
}

/** What it takes to issue for this node, now. Wall clock, milliseconds since the epoch. */
export interface Issuing {
  readonly jobs: JobPool;
  readonly facts: NodeFacts;
  readonly lifetimes: Lifetimes;
  readonly nowMs: number;
  readonly signal: AbortSignal;
}

/** Makes authorities that an older version had no need of. */
export async function issueAuthorities(
  names: readonly AuthorityName[],
  issuing: Issuing,
): Promise<PkiValues> {
  if (names.length === 0) return new Map();
  const { jobs, facts, nowMs, lifetimes, signal } = issuing;
  const times = { nowMs, lifetimeMs: lifetimes.authorityMs };
  const requests = names.map((name) => requestFor(name, authorityProfile(name, facts), times));
  return toValues(await jobs.run('issueCertificates', { requests, authorities: {} }, signal));
}

/** Makes the authorities that will follow these, self-signed like every other. */
export async function issueSuccessors(names: readonly AuthorityName[], issuing: Issuing): Promise<PkiValues> {
  if (names.length === 0) return new Map();
  const { jobs, facts, nowMs, lifetimes, signal } = issuing;
  const requests = names.map((name) => successorRequest(name, facts, nowMs, lifetimes));
  return toValues(await jobs.run('issueCertificates', { requests, authorities: {} }, signal));
}

/**
 * The change by which the successors sign: they take the authorities' place and new successors take theirs, the
 * authorities' certificates go on being trusted, and every leaf is issued anew.
 */
export async function switchAuthorities(
  values: PkiValues,
  { successors }: Pki,
  rotation: Rotation,
  issuing: Issuing,
): Promise<PkiChanges> {
  const { jobs, facts, nowMs, lifetimes, signal } = issuing;
  const moved = authorityNames.flatMap((name) => [
    ...move(values, certificateKey(name), certificateKey(predecessorOf(name))),
    ...move(values, certificateKey(successorOf(name)), certificateKey(name)),
    ...move(values, privateKeyKey(successorOf(name)), privateKeyKey(name)),
  ]);
  return new Map<string, Uint8Array>([
    ...moved,
    ...(await issueSuccessors(authorityNames, issuing)),
    ...(await issueLeaves(jobs, successors, leafNames, facts, nowMs, signal, lifetimes)),
    [rotationKey, recordOf(rotation)],
  ]);
}

function move(values: PkiValues, from: string, to: string): [string, Uint8Array][] {
  const value = values.get(from);
  return value === undefined ? [] : [[to, value]];
}

/** Issues one client certificate that is kept nowhere. */
export async function issueClient(
  jobs: JobPool,
  authorities: Authorities,
  profile: Profile,
  times: { readonly nowMs: number; readonly lifetimeMs: number },
  signal: AbortSignal,
): Promise<KeyPairDer & Pick<CertificateRequest, 'notAfterMs'>> {
  const request = leafRequest(authorities, 'client', profile, times.nowMs, times.lifetimeMs);
  const input = { requests: [request], authorities: toSigners(authorities) };
  const { client } = await jobs.run('issueCertificates', input, signal);
  if (client === undefined) throw new HamletError('INTERNAL', 'the job gave no certificate');
  return { ...client, notAfterMs: request.notAfterMs };
}

function successorRequest(
  name: AuthorityName,
  facts: NodeFacts,
  nowMs: number,
  lifetimes: Lifetimes,
): CertificateRequest {
  const profile = { ...authorityProfile(name, facts), issuer: successorOf(name) };
  return requestFor(successorOf(name), profile, { nowMs, lifetimeMs: lifetimes.authorityMs });
}

function leafRequest(
  authorities: Authorities,
  name: string,
  profile: Profile,
  nowMs: number,
  lifetimeMs: number,
): CertificateRequest {
  const authorityNotAfterMs = notAfterMs(authorities[profile.issuer].certificate);
  return requestFor(name, profile, { nowMs, lifetimeMs, authorityNotAfterMs });
}

function toSigners(authorities: Authorities): Record<string, KeyPairDer> {
  return Object.fromEntries(authorityNames.map((name) => [name, toDer(authorities[name])]));
}

function toDer(credential: Credential): KeyPairDer {
  return {
    certificate: credential.certificate.raw,
    privateKey: credential.privateKey.export({ type: 'pkcs8', format: 'der' }),
  };
}

function toValues(issued: Readonly<Record<string, KeyPairDer>>): PkiValues {
  return new Map(
    Object.entries(issued).flatMap(([name, pair]): [string, Uint8Array][] => [
      [certificateKey(name), pair.certificate],
      [privateKeyKey(name), pair.privateKey],
    ]),
  );
}
