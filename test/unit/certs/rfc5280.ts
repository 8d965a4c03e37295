import { need, oidOf, parseDer, tags, type Der } from './der.js';

/** What a certificate is for; the rules differ. */
export type Role = 'authority' | 'serving' | 'client';

/** What RFC 5280 calls the parts of a certificate, taken apart with a reader that the issuing code does not use. */
interface Parts {
  readonly version: Der | undefined;
  readonly serial: Der;
  readonly innerAlgorithm: Der;
  readonly outerAlgorithm: Der;
  readonly issuer: Der;
  readonly validity: readonly Der[];
  readonly subject: Der;
  readonly publicKey: Der;
  readonly extensions: readonly Extension[];
}

interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly explicitCritical: Buffer | undefined;
  readonly value: Der;
}

const oids = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  ed25519: '1.3.101.112',
} as const;

/** Each rule gives the certificate's parts a yes or a no. */
type Rule = (parts: Parts, role: Role, issuer: Parts) => boolean;

/** The rules, by the section of RFC 5280 (or the RFC) that they come from. */
export const rules: Readonly<Record<string, Rule>> = {
  '4.1.1.2 both signature algorithms are the same': ({ innerAlgorithm, outerAlgorithm }) =>
    same(innerAlgorithm, outerAlgorithm),
  'RFC 8410: Ed25519 has no parameters': ({ innerAlgorithm, publicKey }) =>
    [innerAlgorithm, publicKey.children[0]].every(
      (algorithm) => algorithm?.children.length === 1 && oidOf(need(algorithm.children[0])) === oids.ed25519,
    ),
  '4.1.2.1 version 3': ({ version }) => version?.content.equals(Buffer.from([2, 1, 2])) === true,
  '4.1.2.2 the serial is positive': ({ serial }) =>
    serial.content.readUInt8(0) < 0x80 && serial.content.some((octet) => octet !== 0),
  '4.1.2.2 the serial has 20 octets at most': ({ serial }) => serial.content.length <= 20,
  'CA/B 7.1: the serial holds 64 random bits or more': ({ serial }) =>
    serial.content.length >= 9 && new Set(serial.content).size >= 5,
  '4.1.2.4 the issuer is named': ({ issuer }) => issuer.children.length > 0,
  '4.1.2.4 the issuer is named as it names itself': ({ issuer }, _role, authority) =>
    same(issuer, authority.subject),
  '4.1.2.4 names are UTF8String or PrintableString': ({ issuer, subject }) =>
    [issuer, subject].every((name) =>
      attributesOf(name).every(({ tag }) => tag === tags.utf8String || tag === tags.printableString),
    ),
  'A.1 a common name has 64 characters at most': ({ subject }) =>
    attributesOf(subject).every(({ content }) => content.toString().length <= 64),
  '4.1.2.5 UTCTime through 2049, GeneralizedTime after': ({ validity }) =>
    validity.every((time) => yearOf(time) < 2050 === (time.tag === tags.utcTime)),
  '4.1.2.5 times are in GMT with seconds': ({ validity }) =>
    validity.every(({ content }) => /^(\d{2})?\d{12}Z$/.test(content.toString())),
  '4.1.2.5 it ends after it begins': ({ validity: [from, to] }) =>
    from !== undefined && to !== undefined && timeOf(from) < timeOf(to),
  '4.1.2.6 the subject is named': ({ subject }) => subject.children.length > 0,
  '4.2 no extension twice': ({ extensions }) =>
    new Set(extensions.map(({ oid }) => oid)).size === extensions.length,
  'X.690 11.5: a default value is not written': ({ extensions }) =>
    extensions.every(({ explicitCritical }) => explicitCritical?.equals(Buffer.from([0])) !== true),
  '4.2.1.1 the authority key identifier is the issuer’s': (parts, role, issuer) => {
    const keyId = find(parts, oids.authorityKeyId)?.value.children[0]?.content;
    const issuerKeyId = find(issuer, oids.subjectKeyId)?.value.content;
    if (keyId === undefined) return role === 'authority';
    return issuerKeyId?.equals(keyId) === true;
  },
  '4.2.1.1 the authority key identifier is not critical': (parts) =>
    find(parts, oids.authorityKeyId)?.critical !== true,
  '4.2.1.2 a subject key identifier, not critical': (parts) =>
    find(parts, oids.subjectKeyId)?.critical === false,
  '4.2.1.3 the key usage is critical': (parts) => find(parts, oids.keyUsage)?.critical === true,
  '4.2.1.3 the key usage is the role’s': (parts, role) => {
    // Bit 0 is digitalSignature, 5 keyCertSign, 6 cRLSign; the first octet counts the unused bits.
    const wanted = role === 'authority' ? [0x01, 0x06] : [0x07, 0x80];
    return find(parts, oids.keyUsage)?.value.content.equals(Buffer.from(wanted)) === true;
  },
  '4.2.1.6 a server has alternative names, a client none': (parts, role) =>
    (find(parts, oids.subjectAltName) !== undefined) === (role === 'serving'),
  '4.2.1.6 alternative names are ASCII DNS names or whole addresses': (parts) =>
    (find(parts, oids.subjectAltName)?.value.children ?? []).every(({ tag, content }) => {
      if (tag === 0x82) return /^[a-z0-9.-]+$/i.test(content.toString('latin1'));
      return tag === 0x87 && (content.length === 4 || content.length === 16);
    }),
  '4.2.1.9 basic constraints are critical': (parts) => find(parts, oids.basicConstraints)?.critical === true,
  '4.2.1.9 only an authority is one, with no other below it': (parts, role) => {
    const [authority, pathLength] = find(parts, oids.basicConstraints)?.value.children ?? [];
    if (role !== 'authority') return authority === undefined;
    return (
      authority?.content.equals(Buffer.from([0xff])) === true &&
      pathLength?.content.equals(Buffer.from([0])) === true
    );
  },
  '4.2.1.12 the extended key usage is the role’s alone': (parts, role) => {
    const usages = find(parts, oids.extendedKeyUsage)?.value.children.map(oidOf);
    switch (role) {
      case 'authority':
        return usages === undefined;
      case 'serving':
        return usages?.join() === oids.serverAuth;
      case 'client':
        return usages?.join() === oids.clientAuth;
      default:
        return role satisfies never;
    }
  },
};

/** The rules that a certificate (DER) breaks. */
export function lint(certificate: Buffer, role: Role, issuer: Buffer): string[] {
  const parts = takeApart(certificate);
  const authority = takeApart(issuer);
  return Object.entries(rules)
    .filter(([, holds]) => !holds(parts, role, authority))
    .map(([name]) => name);
}

function takeApart(certificate: Buffer): Parts {
  const [tbs, outerAlgorithm] = parseDer(certificate).children;
  const fields = [...need(tbs).children];
  const version = fields[0]?.tag === tags.version ? fields.shift() : undefined;
  const [serial, innerAlgorithm, issuer, validity, subject, publicKey, ...rest] = fields;
  const extensions = rest.find(({ tag }) => tag === tags.extensions)?.children[0]?.children ?? [];
  return {
    version,
    serial: need(serial),
    innerAlgorithm: need(innerAlgorithm),
    outerAlgorithm: need(outerAlgorithm),
    issuer: need(issuer),
    validity: need(validity).children,
    subject: need(subject),
    publicKey: need(publicKey),
    extensions: extensions.map(({ children }): Extension => {
      const critical = children.find(({ tag }) => tag === tags.boolean)?.content;
      return {
        oid: oidOf(need(children[0])),
        critical: critical?.equals(Buffer.from([0xff])) === true,
        explicitCritical: critical,
        value: parseDer(need(children.at(-1)).content),
      };
    }),
  };
}

function find(parts: Parts, oid: string): Extension | undefined {
  return parts.extensions.find((extension) => extension.oid === oid);
}

function attributesOf(name: Der): Der[] {
  return name.children.flatMap((set) => set.children.map(({ children }) => need(children[1])));
}

function same(a: Der, b: Der): boolean {
  return (
    a.tag === b.tag &&
    a.content.equals(b.content) &&
    a.children.length === b.children.length &&
    a.children.every((child, index) => same(child, need(b.children[index])))
  );
}

function yearOf(time: Der): number {
  const text = time.content.toString();
  if (time.tag === tags.generalizedTime) return Number(text.slice(0, 4));
  const year = Number(text.slice(0, 2));
  return year < 50 ? 2000 + year : 1900 + year;
}

function timeOf(time: Der): string {
  return `${yearOf(time)}${time.content.toString().slice(time.tag === tags.utcTime ? 2 : 4)}`;
}
