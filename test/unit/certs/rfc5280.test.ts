import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { JobPool } from '../../../src/jobs/pool.js';
import { certificateKey } from '../../../src/workers/certs/pki.js';
import {
  authorityNames,
  authorityProfile,
  leafNames,
  leafProfiles,
  requestFor,
  successorOf,
} from '../../../src/workers/certs/profiles.js';
import { der, encodeDer, need, parseDer, tags, type Der } from './der.js';
import { facts, freshPki, never, valueOf } from './fixtures.js';
import { lint, rules, type Role } from './rfc5280.js';

const pki = await freshPki();
const authority = valueOf(pki, certificateKey('id-ca'));
const server = valueOf(pki, certificateKey('apiserver'));

void t.test('every certificate of a new PKI keeps every rule', async (t) => {
  const authorities = authorityNames.flatMap((name) => [name, successorOf(name)]);
  for (const name of authorities) {
    const certificate = valueOf(pki, certificateKey(name));
    t.same(lint(certificate, 'authority', certificate), [], name);
  }
  const profiles = leafProfiles(facts);
  for (const name of leafNames) {
    const { issuer, usage } = profiles[name];
    const issuerDer = valueOf(pki, certificateKey(issuer));
    t.same(lint(valueOf(pki, certificateKey(name)), usage, issuerDer), [], name);
  }
  const serials = [...authorities, ...leafNames].map(
    (name) => new X509Certificate(valueOf(pki, certificateKey(name))).serialNumber,
  );
  t.equal(new Set(serials).size, serials.length, 'no serial twice');
});

void t.test('a certificate that ends after 2049 keeps every rule', async (t) => {
  await using jobs = new JobPool();
  const request = requestFor('late', authorityProfile('id-ca', facts), { nowMs: 0, lifetimeMs: 0 });
  const times = { notBeforeMs: Date.UTC(2049, 11, 31, 23, 59, 59, 999), notAfterMs: Date.UTC(2050, 0, 1) };
  const requests = [{ ...request, ...times, issuer: 'late' }];
  const { late } = await jobs.run('issueCertificates', { requests, authorities: {} }, never);
  const certificate = Buffer.from(late?.certificate ?? []);
  t.same(lint(certificate, 'authority', certificate), []);
  t.equal(new X509Certificate(certificate).validFrom, 'Dec 31 23:59:59 2049 GMT');
  t.equal(new X509Certificate(certificate).validTo, 'Jan  1 00:00:00 2050 GMT');
});

/** Where the parts lie below the to-be-signed certificate. */
const at = {
  serial: [0, 1],
  algorithm: [0, 2],
  issuer: [0, 3],
  validity: [0, 4],
  subject: [0, 5],
  key: [0, 6],
};
const extensions = [0, 7, 0];

interface Break {
  readonly role?: Role;
  readonly edit: (certificate: Der) => Der;
}

/** For each rule a change that breaks it. */
const breaks: Readonly<Record<string, Break>> = {
  '4.1.1.2 both signature algorithms are the same': {
    edit: change([1], () => algorithm([0x2b, 0x65, 0x71])),
  },
  'RFC 8410: Ed25519 has no parameters': {
    edit: change(at.algorithm, (value) =>
      der(tags.sequence, [...value.children, der(0x05, Buffer.alloc(0))]),
    ),
  },
  '4.1.2.1 version 3': { edit: change([0, 0, 0], () => der(tags.integer, Buffer.from([1]))) },
  '4.1.2.2 the serial is positive': {
    edit: change(at.serial, ({ tag, content }) => der(tag, Buffer.concat([Buffer.from([0x80]), content]))),
  },
  '4.1.2.2 the serial has 20 octets at most': {
    edit: change(at.serial, ({ tag }) => der(tag, Buffer.from([...Array(21).keys()].map((n) => n + 1)))),
  },
  'CA/B 7.1: the serial holds 64 random bits or more': {
    edit: change(at.serial, ({ tag }) => der(tag, Buffer.from([1]))),
  },
  '4.1.2.4 the issuer is named': { edit: change(at.issuer, ({ tag }) => der(tag, [])) },
  '4.1.2.4 the issuer is named as it names itself': {
    edit: change([...at.issuer, 0, 0, 1], ({ tag }) => der(tag, Buffer.from('somebody'))),
  },
  '4.1.2.4 names are UTF8String or PrintableString': {
    edit: change([...at.subject, 0, 0, 1], ({ content }) => der(0x14, content)),
  },
  'A.1 a common name has 64 characters at most': {
    edit: change([...at.subject, 0, 0, 1], ({ tag }) => der(tag, Buffer.alloc(65, 'a'))),
  },
  '4.1.2.5 UTCTime through 2049, GeneralizedTime after': {
    edit: change([...at.validity, 1], () => der(tags.generalizedTime, Buffer.from('20491231235959Z'))),
  },
  '4.1.2.5 times are in GMT with seconds': {
    edit: change([...at.validity, 1], ({ tag }) => der(tag, Buffer.from('491231235959+0100'))),
  },
  '4.1.2.5 it ends after it begins': {
    edit: change([...at.validity, 1], ({ tag }) => der(tag, Buffer.from('200101000000Z'))),
  },
  '4.1.2.6 the subject is named': { edit: change(at.subject, ({ tag }) => der(tag, [])) },
  '4.2 no extension twice': {
    edit: change(extensions, ({ tag, children }) => der(tag, [...children, need(children[0])])),
  },
  'X.690 11.5: a default value is not written': {
    edit: extension(0x0e, ({ tag, children: [oid, value] }) =>
      der(tag, [need(oid), der(tags.boolean, Buffer.from([0])), need(value)]),
    ),
  },
  '4.2.1.1 the authority key identifier is the issuer’s': {
    edit: extension(0x23, content(Buffer.from('3016801400112233445566778899aabbccddeeff00112233', 'hex'))),
  },
  '4.2.1.1 the authority key identifier is not critical': { edit: extension(0x23, critical) },
  '4.2.1.2 a subject key identifier, not critical': { edit: extension(0x0e, critical) },
  '4.2.1.3 the key usage is critical': { edit: extension(0x0f, uncritical) },
  '4.2.1.3 the key usage is the role’s': { edit: extension(0x0f, content(Buffer.from([3, 2, 1, 6]))) },
  '4.2.1.6 a server has alternative names, a client none': { edit: extension(0x11, () => undefined) },
  '4.2.1.6 alternative names are ASCII DNS names or whole addresses': {
    edit: extension(0x11, content(Buffer.from([0x30, 5, 0x87, 3, 10, 0, 0]))),
  },
  '4.2.1.9 basic constraints are critical': { edit: extension(0x13, uncritical) },
  '4.2.1.9 only an authority is one, with no other below it': {
    edit: extension(0x13, content(Buffer.from([0x30, 3, 1, 1, 0xff]))),
  },
  '4.2.1.12 the extended key usage is the role’s alone': {
    role: 'client',
    edit: (certificate) => certificate,
  },
};

void t.test('each rule fails for a certificate that breaks it', async (t) => {
  t.same(Object.keys(breaks), Object.keys(rules), 'there is such a certificate for every rule');
  for (const [rule, { role = 'serving', edit }] of Object.entries(breaks)) {
    const broken = encodeDer(edit(parseDer(server)));
    t.ok(lint(broken, role, authority).includes(rule), rule);
  }
});

void t.test('the reader of DER gives back what it read', async (t) => {
  t.same(encodeDer(parseDer(server)), server);
});

function change(path: readonly number[], edit: (value: Der) => Der): (certificate: Der) => Der {
  const [index, ...rest] = path;
  if (index === undefined) return edit;
  return ({ tag, children }) =>
    der(
      tag,
      children.map((child, position) => (position === index ? change(rest, edit)(child) : child)),
    );
}

/** Changes the extension 2.5.29.`arc`, or takes it away. */
function extension(arc: number, edit: (value: Der) => Der | undefined): (certificate: Der) => Der {
  return change(extensions, ({ tag, children }) =>
    der(
      tag,
      children.flatMap((child) => (child.children[0]?.content.at(-1) === arc ? (edit(child) ?? []) : child)),
    ),
  );
}

function critical({ tag, children: [oid, value] }: Der): Der {
  return der(tag, [need(oid), der(tags.boolean, Buffer.from([0xff])), need(value)]);
}

function uncritical({ tag, children }: Der): Der {
  return der(tag, [need(children[0]), need(children.at(-1))]);
}

function content(value: Buffer): (extension: Der) => Der {
  return ({ tag, children }) => der(tag, [...children.slice(0, -1), der(tags.octetString, value)]);
}

function algorithm(oid: readonly number[]): Der {
  return der(tags.sequence, [der(tags.oid, Buffer.from(oid))]);
}
