import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { HamletError } from '../lib/errors.js';
import { makeEd25519Pair } from './ed25519-pair.js';

/** A certificate with its private key: X.509 DER and PKCS #8 DER. */
export interface KeyPairDer {
  readonly certificate: Uint8Array;
  readonly privateKey: Uint8Array;
}

/** What a certificate may be used for: signing others, TLS servers, TLS clients. */
export type CertificateUsage = 'authority' | 'serving' | 'client';

export interface CertificateRequest {
  /** Under which the result is found, and by which others name it as their issuer. */
  readonly name: string;
  /** The name of the authority that signs; an authority that names itself is self-signed. */
  readonly issuer: string;
  readonly usage: CertificateUsage;
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  /** Wall clock, milliseconds since the epoch; certificates know whole seconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface IssueInput {
  readonly requests: readonly CertificateRequest[];
  /** Authorities that exist already, by name. */
  readonly authorities: Readonly<Record<string, KeyPairDer>>;
}

interface Signer {
  readonly certificate: x509.X509Certificate;
  readonly key: webcrypto.CryptoKey;
}

interface Keys extends webcrypto.CryptoKeyPair {
  /** PKCS #8 DER. */
  readonly der: Uint8Array;
}

const ed25519 = { name: 'Ed25519' };

/**
 * Makes an ed25519 key and a certificate for each request, after the profile of RFC 5280: authorities first, each
 * signed by itself or by one that is given, then the rest.
 * Throws INVALID_ARGUMENT for an issuer that is neither given nor among the requests.
 */
export async function issueCertificates(input: IssueInput): Promise<Record<string, KeyPairDer>> {
  const given = new Map<string, Signer>();
  for (const [name, authority] of Object.entries(input.authorities)) {
    const key = await webcrypto.subtle.importKey('pkcs8', authority.privateKey, ed25519, false, ['sign']);
    given.set(name, { certificate: new x509.X509Certificate(authority.certificate), key });
  }
  const made = new Map(given);
  const issue = async (request: CertificateRequest): Promise<[string, KeyPairDer]> => {
    const keys = await generateKeys();
    const certificate = await sign(request, keys, isAuthority(request) ? given : made);
    if (isAuthority(request)) made.set(request.name, { certificate, key: keys.privateKey });
    return [request.name, { certificate: new Uint8Array(certificate.rawData), privateKey: keys.der }];
  };
  // Each signature is a turn on another thread: many certificates take theirs at once.
  const authorities = await Promise.all(input.requests.filter(isAuthority).map(issue));
  const rest = await Promise.all(input.requests.filter((request) => !isAuthority(request)).map(issue));
  return Object.fromEntries([...authorities, ...rest]);
}

function isAuthority({ usage }: CertificateRequest): boolean {
  return usage === 'authority';
}

/**
 * Not `subtle.generateKey`: Node 20.20 aborts the whole process when a thread that waits for its result is ended
 * (`FATAL ERROR: v8::ToLocalChecked Empty MaybeLocal`), as an abort of the job does. The keys go to Web Crypto as JWK,
 * because to read them from DER takes four times as long: 0.4 ms for a pair instead of 1.5.
 */
async function generateKeys(): Promise<Keys> {
  const { publicJwk, privateJwk, privateDer } = makeEd25519Pair();
  const [publicKey, privateKey] = await Promise.all([
    webcrypto.subtle.importKey('jwk', publicJwk, ed25519, true, ['verify']),
    webcrypto.subtle.importKey('jwk', privateJwk, ed25519, false, ['sign']),
  ]);
  return { publicKey, privateKey, der: privateDer };
}

async function sign(
  request: CertificateRequest,
  keys: Keys,
  signers: ReadonlyMap<string, Signer>,
): Promise<x509.X509Certificate> {
  const selfSigned = request.usage === 'authority' && request.issuer === request.name;
  const signer = selfSigned ? undefined : signers.get(request.issuer);
  if (signer === undefined && !selfSigned) {
    throw new HamletError('INVALID_ARGUMENT', `${request.name}: there is no authority ${request.issuer}`);
  }
  const subject = subjectOf(request);
  return x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject,
    issuer: signer?.certificate.subjectName ?? subject,
    notBefore: new Date(request.notBeforeMs),
    notAfter: new Date(request.notAfterMs),
    publicKey: keys.publicKey,
    signingKey: signer?.key ?? keys.privateKey,
    extensions: [
      ...usageExtensions(request.usage),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      // RFC 5280, 4.2.1.1: in every certificate but a self-signed one.
      ...(signer === undefined ? [] : [authorityKeyIdentifier(signer.certificate)]),
      ...subjectAlternativeNames(request),
    ],
  });
}

/**
 * Organizations first, as Go writes them, each in a set of its own. The strings are given their type here: the
 * library takes a bare string that begins with "#" for DER.
 */
function subjectOf(request: CertificateRequest): x509.Name {
  return new x509.Name([
    ...request.organizations.map((organization) => ({ O: [{ utf8String: organization }] })),
    { CN: [{ utf8String: request.commonName }] },
  ]);
}

/** 126 random bits of 16 octets: positive and never shortened (RFC 5280, 4.1.2.2, allows 20 octets). */
function randomSerial(): string {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial.toString('hex');
}

function usageExtensions(usage: CertificateUsage): x509.Extension[] {
  const { keyCertSign, cRLSign, digitalSignature } = x509.KeyUsageFlags;
  switch (usage) {
    case 'authority':
      return [
        // No authority below this one.
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
      ];
    case 'serving':
    case 'client':
      return [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([
          usage === 'serving' ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth,
        ]),
      ];
    default:
      return usage satisfies never;
  }
}

function authorityKeyIdentifier(issuer: x509.X509Certificate): x509.Extension {
  const keyId = issuer.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId;
  if (keyId === undefined)
    throw new HamletError('DATA_LOSS', `${issuer.subject} has no subject key identifier`);
  return new x509.AuthorityKeyIdentifierExtension(keyId);
}

function subjectAlternativeNames(request: CertificateRequest): x509.Extension[] {
  const names: x509.JsonGeneralNames = [
    ...request.dnsNames.map((value) => ({ type: 'dns' as const, value })),
    ...request.ipAddresses.map((value) => ({ type: 'ip' as const, value })),
  ];
  return names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)];
}
