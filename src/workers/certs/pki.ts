import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { HamletError } from '../../lib/errors.js';
import {
  authorityNames,
  authorityProfile,
  leafNames,
  leafProfiles,
  predecessorOf,
  successorOf,
  type AuthorityName,
  type LeafName,
  type NodeFacts,
  type Profile,
} from './profiles.js';
import { notAfterMs, whyReplaced } from './dates.js';
import { parseEncryption, type Encryption } from './encryption.js';
import { parseRotation, type Rotation } from './rotation.js';

export { notAfterMs, notBeforeMs } from './dates.js';

/** A certificate and the private key that belongs to it. */
export interface Credential {
  readonly certificate: X509Certificate;
  readonly privateKey: KeyObject;
}

export type Authorities = Readonly<Record<AuthorityName, Credential>>;

/** Everything below /kube-pki/, checked. */
export interface Pki {
  /** Those that sign. */
  readonly authorities: Authorities;
  /** Those that will, after the next rotation. They are trusted already. */
  readonly successors: Authorities;
  /** Those that did; there are some only while a rotation settles. */
  readonly predecessors: Readonly<Partial<Record<AuthorityName, X509Certificate>>>;
  /** Undefined while no rotation is under way. */
  readonly rotation: Rotation | undefined;
  readonly leaves: Readonly<Record<LeafName, Credential>>;
  readonly serviceAccountKey: KeyObject;
  /** By what the API server encrypts Secrets. */
  readonly encryption: Encryption;
}

/** DER values by their keys in etcd. */
export type PkiValues = ReadonlyMap<string, Uint8Array>;

/** Values to be written, and the keys of those that are to go. */
export type PkiChanges = ReadonlyMap<string, Uint8Array | null>;

export function applyChanges(values: PkiValues, changes: PkiChanges): PkiValues {
  const all = [...new Map<string, Uint8Array | null>([...values, ...changes])];
  return new Map(all.filter((entry): entry is [string, Uint8Array] => entry[1] !== null));
}

/** Where the PKI lies in etcd: NAME.crt (X.509 DER) and NAME.key (PKCS #8 DER) for each name. */
export const pkiPrefix = '/kube-pki/';
export const certificateKey = (name: string): string => `${pkiPrefix}${name}.crt`;
export const privateKeyKey = (name: string): string => `${pkiPrefix}${name}.key`;

export const serviceAccountKeyName = 'service-account';

/** Where the keys are by which Secrets are encrypted; sealed, as its name says. */
export const encryptionKey = `${pkiPrefix}secrets.key`;

/** Where it stands how far a rotation is. */
export const rotationKey = `${pkiPrefix}rotation`;

/** In the details of an error that another clock would make go away. */
const expiredReason = 'AuthorityExpired';

/** Whether a PKI was refused for a reason that is gone when the clock is set. */
export function isForTheClock(error: HamletError): boolean {
  return error.details.reason === expiredReason;
}

const whatToDo =
  'restore etcd from a backup, or give up this cluster with "hamlet reset" and start a new one';

/**
 * Reads a whole PKI and checks that every part is there, that keys belong to their certificates and certificates to
 * their authorities, and that it is this node's. Expired leaves pass: they can be issued anew.
 * Throws DATA_LOSS that names the key of what is missing or damaged, FAILED_PRECONDITION for another node's PKI and
 * for an authority that has expired.
 */
export function parsePki(values: PkiValues, facts: NodeFacts, nowMs: number): Pki {
  const authorities = parseAuthorities(values, facts, nowMs);
  const successors = mapNames(authorityNames, (name) => {
    const successor = parseCredential(values, successorOf(name));
    checkAuthority(successor.certificate, name, certificateKey(successorOf(name)), facts, nowMs);
    return successor;
  });
  const predecessors = Object.fromEntries(
    authorityNames.flatMap((name) => {
      const key = certificateKey(predecessorOf(name));
      return values.has(key) ? [[name, parseCertificate(values, key)]] : [];
    }),
  );
  const profiles = leafProfiles(facts);
  const leaves = mapNames(leafNames, (name) => parseLeaf(values, name, profiles[name], authorities));
  const serviceAccountKey = parsePrivateKey(values, privateKeyKey(serviceAccountKeyName), 'rsa');
  const rotation = rotationOf(values);
  const encryption = parsed(values, encryptionKey, 'holds no keys for Secrets', parseEncryption);
  return { authorities, successors, predecessors, rotation, leaves, serviceAccountKey, encryption };
}

/** How far a rotation is, undefined when there is none. Throws DATA_LOSS for a record that cannot be read. */
export function rotationOf(values: PkiValues): Rotation | undefined {
  if (!values.has(rotationKey)) return undefined;
  return parsed(values, rotationKey, 'does not say how far a rotation is', parseRotation);
}

/** The keys for Secrets, undefined when an older version has made none. Throws DATA_LOSS for a damaged record. */
export function encryptionOf(values: PkiValues): Encryption | undefined {
  if (!values.has(encryptionKey)) return undefined;
  return parsed(values, encryptionKey, 'holds no keys for Secrets', parseEncryption);
}

/** The authorities whose certificates are taken, the one that signs first. */
export function trusted(pki: Pki, name: AuthorityName): readonly X509Certificate[] {
  const predecessor = pki.predecessors[name];
  return [
    pki.authorities[name].certificate,
    pki.successors[name].certificate,
    ...(predecessor === undefined ? [] : [predecessor]),
  ];
}

/** Those that were not part of the first PKIs. */
const laterAuthorities: readonly AuthorityName[] = ['debug-ca'];

/**
 * The authorities that have to be made because an older version had no need of them: nothing is there of them, of
 * their successors, nor of what they sign. What is there in part is damaged, and parsePki says so.
 */
export function missingAuthorities(values: PkiValues, facts: NodeFacts): readonly AuthorityName[] {
  const profiles = leafProfiles(facts);
  return laterAuthorities.filter((name) => {
    const signed = leafNames.filter((leaf) => profiles[leaf].issuer === name);
    return ![name, successorOf(name), predecessorOf(name), ...signed].some(
      (held) => values.has(certificateKey(held)) || values.has(privateKeyKey(held)),
    );
  });
}

/** The authorities alone, checked as parsePki does. */
export function parseAuthorities(values: PkiValues, facts: NodeFacts, nowMs: number): Authorities {
  return mapNames(authorityNames, (name) => {
    const authority = parseCredential(values, name);
    checkAuthority(authority.certificate, name, certificateKey(name), facts, nowMs);
    return authority;
  });
}

function checkAuthority(
  certificate: X509Certificate,
  name: AuthorityName,
  key: string,
  facts: NodeFacts,
  nowMs: number,
): void {
  if (!certificate.ca || !certificate.verify(certificate.publicKey)) {
    throw damaged(key, 'is not a self-signed authority');
  }
  if (certificate.subject !== `CN=${authorityProfile(name, facts).commonName}`) {
    throw new HamletError(
      'FAILED_PRECONDITION',
      `the PKI in etcd belongs to another node (${key} is for ${certificate.subject}, this node is ` +
        `${facts.nodeName}); put back the node key that belongs to it, or ${whatToDo}`,
    );
  }
  // One from before the clock was ever set is replaced by who reads this.
  if (nowMs >= notAfterMs(certificate) && whyReplaced(certificate, nowMs, false) === undefined) {
    throw new HamletError(
      'FAILED_PRECONDITION',
      `the authority in ${key} expired on ${certificate.validTo}; set the clock if it is wrong, otherwise ${whatToDo}`,
      { details: { reason: expiredReason } },
    );
  }
}

/** Throws DATA_LOSS for a leaf that is half there, damaged, or another authority's. */
export function parseLeaf(
  values: PkiValues,
  name: LeafName,
  profile: Profile,
  authorities: Authorities,
): Credential {
  const leaf = parseCredential(values, name);
  const issuer = authorities[profile.issuer].certificate;
  if (!leaf.certificate.checkIssued(issuer) || !leaf.certificate.verify(issuer.publicKey)) {
    throw damaged(certificateKey(name), `is not issued by ${profile.issuer}`);
  }
  return leaf;
}

function parseCredential(values: PkiValues, name: string): Credential {
  const key = certificateKey(name);
  const certificate = parseCertificate(values, key);
  const privateKey = parsePrivateKey(values, privateKeyKey(name), 'ed25519');
  if (!certificate.checkPrivateKey(privateKey)) {
    throw damaged(privateKeyKey(name), `does not belong to ${key}`);
  }
  return { certificate, privateKey };
}

/** Throws DATA_LOSS that names the key. */
export function parseCertificate(values: PkiValues, key: string): X509Certificate {
  const der = required(values, key);
  try {
    return new X509Certificate(der);
  } catch (error) {
    throw damaged(key, 'is not a certificate', error);
  }
}

function parsePrivateKey(values: PkiValues, key: string, type: 'ed25519' | 'rsa'): KeyObject {
  const der = required(values, key);
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
  } catch (error) {
    throw damaged(key, 'is not a private key', error);
  }
  if (privateKey.asymmetricKeyType !== type) throw damaged(key, `is not of type ${type}`);
  return privateKey;
}

function parsed<T>(values: PkiValues, key: string, problem: string, parse: (value: Uint8Array) => T): T {
  const value = required(values, key);
  try {
    return parse(value);
  } catch (error) {
    throw damaged(key, problem, error);
  }
}

function required(values: PkiValues, key: string): Uint8Array {
  const value = values.get(key);
  if (value === undefined) throw damaged(key, 'is missing');
  return value;
}

function damaged(key: string, problem: string, cause?: unknown): HamletError {
  return new HamletError('DATA_LOSS', `the PKI in etcd is damaged: ${key} ${problem}; ${whatToDo}`, {
    cause,
    details: { key },
  });
}

function mapNames<Name extends string, T>(names: readonly Name[], make: (name: Name) => T): Record<Name, T> {
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<Name, T>;
}
