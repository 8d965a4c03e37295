import type { CertificateRequest, KeyPairDer } from '../../jobs/issue-certificates.js';
import type { JobPool } from '../../jobs/pool.js';
import { HamletError } from '../../lib/errors.js';
import { defaultLifetimes, type Lifetimes } from '../../platform/lifetimes.js';
import {
  certificateKey,
  notAfterMs,
  privateKeyKey,
  serviceAccountKeyName,
  type Authorities,
  type Credential,
  type PkiValues,
} from './pki.js';
import {
  authorityNames,
  authorityProfile,
  leafNames,
  leafProfiles,
  requestFor,
  serviceAccountKeyBits,
  type LeafName,
  type NodeFacts,
  type Profile,
} from './profiles.js';

/** Makes a whole PKI, as it goes into etcd. Some 250 ms on an idle core; the RSA key is made beside the rest. */
export async function issuePki(
  jobs: JobPool,
  facts: NodeFacts,
  nowMs: number,
  signal: AbortSignal,
  lifetimes: Lifetimes = defaultLifetimes,
): Promise<PkiValues> {
  const profiles = leafProfiles(facts);
  const requests = [
    ...authorityNames.map((name) =>
      requestFor(name, authorityProfile(name, facts), { nowMs, lifetimeMs: lifetimes.authorityMs }),
    ),
    ...leafNames.map((name) => requestFor(name, profiles[name], { nowMs, lifetimeMs: lifetimes.leafMs })),
  ];
  const [issued, serviceAccountKey] = await Promise.all([
    jobs.run('issueCertificates', { requests, authorities: {} }, signal),
    jobs.run('generateRsaKey', { bits: serviceAccountKeyBits }, signal),
  ]);
  return new Map([...toValues(issued), [privateKeyKey(serviceAccountKeyName), serviceAccountKey]]);
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
  return toValues(
    await jobs.run('issueCertificates', { requests, authorities: toSigners(authorities) }, signal),
  );
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
