import type { X509Certificate } from 'node:crypto';
import type { Lifetimes } from '../../platform/lifetimes.js';
import { isEarly, isTooLong, notAfterMs, notBeforeMs, whyReplaced } from './dates.js';
import { isEarlyKey, type Encryption } from './encryption.js';
import {
  certificateKey,
  parseCertificate,
  parseLeaf,
  privateKeyKey,
  type Authorities,
  type Pki,
  type PkiValues,
} from './pki.js';
import {
  authorityNames,
  backdatedMs,
  leafNames,
  leafProfiles,
  successorOf,
  type AuthorityName,
  type LeafName,
  type NodeFacts,
  type Profile,
} from './profiles.js';

/** How much of its life a successor may wait: an authority that begins late ends early. */
const waitingShare = 1 / 3;

/** The authorities that have to be made ahead, because there is none to follow or it has waited too long. */
export function staleSuccessors(values: PkiValues, nowMs: number): readonly AuthorityName[] {
  return authorityNames.filter((name) => {
    const key = certificateKey(successorOf(name));
    if (!values.has(key) && !values.has(privateKeyKey(successorOf(name)))) return true;
    const certificate = parseCertificate(values, key);
    const startMs = notBeforeMs(certificate);
    // By a clock that was ahead; while the authority itself is not valid yet, the clock may as well be behind.
    const authority = parseCertificate(values, certificateKey(name));
    if (isEarly(certificate, nowMs) && !isEarly(authority, nowMs)) return true;
    return nowMs - startMs > (notAfterMs(certificate) - startMs) * waitingShare;
  });
}

/**
 * The leaves that have to be issued, each with the reason in words. One that is not there at all is among them: the
 * PKI was made by a version that had no need of it. Throws DATA_LOSS for one that is half there, or damaged.
 */
export function staleLeaves(
  values: PkiValues,
  authorities: Authorities,
  facts: NodeFacts,
  nowMs: number,
  lifetimes: Pick<Lifetimes, 'leafMs' | 'renewAfterShare'>,
): ReadonlyMap<LeafName, string> {
  const profiles = leafProfiles(facts);
  const stale = new Map<LeafName, string>();
  for (const name of leafNames) {
    if (!values.has(certificateKey(name)) && !values.has(privateKeyKey(name))) {
      stale.set(name, 'there is none');
      continue;
    }
    const profile = profiles[name];
    const { certificate } = parseLeaf(values, name, profile, authorities);
    const issuer = authorities[profile.issuer].certificate;
    const reason =
      misdated(certificate, issuer, nowMs, lifetimes.leafMs) ??
      staleness(certificate, profile, nowMs, renewalMs(certificate, issuer, lifetimes.renewAfterShare));
    if (reason !== undefined) stale.set(name, reason);
  }
  return stale;
}

/** Why a leaf shows that a clock was wrong, or that the configuration was another, when it was issued. */
function misdated(
  leaf: X509Certificate,
  issuer: X509Certificate,
  nowMs: number,
  lifetimeMs: number,
): string | undefined {
  // What such an authority issues now would be no more valid than itself.
  if (isEarly(issuer, nowMs)) return undefined;
  if (isEarly(leaf, nowMs)) return 'the clock was ahead when it was issued';
  if (isTooLong(leaf, nowMs, lifetimeMs)) return 'it ends later than what is issued now';
  return undefined;
}

/** Whether the next key for Secrets is due because this one is of a clock that was ahead, and is not behind now. */
export function isMisdatedKey(encryption: Encryption, authorities: Authorities, nowMs: number): boolean {
  return (
    isEarlyKey(encryption, nowMs) &&
    !authorityNames.some((name) => isEarly(authorities[name].certificate, nowMs))
  );
}

/** Whether there is something in a PKI that a wrong clock has left and that is issued anew at once. */
export function isMisdated(pki: Pki, facts: NodeFacts, nowMs: number, lifetimeMs: number): boolean {
  const profiles = leafProfiles(facts);
  return (
    isMisdatedKey(pki.encryption, pki.authorities, nowMs) ||
    authorityNames.some((name) => {
      const { certificate } = pki.authorities[name];
      if (whyReplaced(certificate, nowMs, false) !== undefined) return true;
      return isEarly(pki.successors[name].certificate, nowMs) && !isEarly(certificate, nowMs);
    }) ||
    leafNames.some((name) => {
      const issuer = pki.authorities[profiles[name].issuer].certificate;
      return misdated(pki.leaves[name].certificate, issuer, nowMs, lifetimeMs) !== undefined;
    })
  );
}

/**
 * When a leaf is to be issued anew, milliseconds since the epoch; never for one that ends with its authority, because
 * the next one would end no later.
 */
export function renewalMs(leaf: X509Certificate, issuer: X509Certificate, renewAfterShare: number): number {
  const endMs = notAfterMs(leaf);
  if (endMs >= notAfterMs(issuer)) return Infinity;
  const issuedMs = notBeforeMs(leaf) + backdatedMs;
  return issuedMs + (endMs - issuedMs) * renewAfterShare;
}

function staleness(
  certificate: X509Certificate,
  profile: Profile,
  nowMs: number,
  renewalAtMs: number,
): string | undefined {
  if (nowMs >= notAfterMs(certificate)) return 'it has expired';
  if (nowMs >= renewalAtMs) return 'most of its life is over';
  if (!hasNames(certificate, profile)) return 'the names or addresses that it is for have changed';
  return undefined;
}

/** Whether the certificate is for exactly the profile's subject, DNS names and addresses. */
function hasNames(certificate: X509Certificate, profile: Profile): boolean {
  const subject = [
    ...profile.organizations.map((organization) => `O=${organization}`),
    `CN=${profile.commonName}`,
  ].join('\n');
  const count = certificate.subjectAltName?.split(', ').length ?? 0;
  return (
    certificate.subject === subject &&
    count === profile.dnsNames.length + profile.ipAddresses.length &&
    profile.dnsNames.every((name) => certificate.checkHost(name, { subject: 'never' }) !== undefined) &&
    profile.ipAddresses.every((address) => certificate.checkIP(address) !== undefined)
  );
}
