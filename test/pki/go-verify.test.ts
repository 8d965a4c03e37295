import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { JobPool } from '../../src/jobs/pool.js';
import { loadConfig } from '../../src/platform/config.js';
import { goEnvironment } from '../../src/provision/go.js';
import { issueClient } from '../../src/workers/certs/issue.js';
import { certificateKey, parsePki } from '../../src/workers/certs/pki.js';
import {
  authorityNames,
  client,
  leafNames,
  leafProfiles,
  successorOf,
  type AuthorityName,
} from '../../src/workers/certs/profiles.js';
import { run } from '../node/support/hamlet.js';
import { facts, freshPki, never, valueOf } from '../unit/certs/fixtures.js';

t.setTimeout(300_000);

const program = fileURLToPath(new URL('../../../test/pki/fixtures/verify.go', import.meta.url));

/** "Is this certificate good for that, under this authority, with these names?", and whether it should be. */
interface Question {
  readonly what: string;
  readonly certificate: X509Certificate;
  readonly authority: X509Certificate;
  readonly usage: 'serving' | 'client' | 'authority';
  readonly names: readonly string[];
  readonly good: boolean;
}

/** What Go says of each: an empty string where it is good. */
async function askGo(questions: readonly Question[], gopath: string): Promise<string[]> {
  const { components } = await loadConfig(process.env.HAMLET_CONFIG);
  const input = JSON.stringify(
    questions.map(({ certificate, authority, usage, names }) => ({
      certificate: certificate.raw.toString('base64'),
      authority: authority.raw.toString('base64'),
      ...{ usage, names },
    })),
  );
  const env = goEnvironment(components.cacheDir, gopath);
  const { code, stdout, stderr } = await run('go', ['run', '-trimpath', program], { env, input });
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as string[];
}

/** id-kp-serverAuth and id-kp-clientAuth (RFC 5280, 4.2.1.12). */
const purposes = { serving: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' } as const;

function nodeSays({ certificate, authority, usage, names }: Question): boolean {
  const issued = certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
  if (usage === 'authority') return issued && certificate.ca;
  const isNamed = (name: string) =>
    (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined;
  // Node calls the extended key usage so.
  return issued && names.every(isNamed) && authority.ca && certificate.keyUsage.includes(purposes[usage]);
}

void t.test('Go and Node verify every certificate for its purpose and for no other', async (t) => {
  const values = await freshPki();
  const { authorities } = parsePki(values, facts, Date.now());
  const of = (name: string) => new X509Certificate(valueOf(values, certificateKey(name)));
  const profiles = leafProfiles(facts);
  await using jobs = new JobPool();
  const forClients = (['id-ca', 'debug-ca'] as const).map(async (issuer) => {
    const profile = { ...client('jane', ['readers']), issuer };
    const times = { nowMs: Date.now(), lifetimeMs: 60_000 };
    const { certificate } = await issueClient(jobs, authorities, profile, times, never);
    return { name: `client of ${issuer}`, certificate: new X509Certificate(certificate), ...profile };
  });
  const leaves = [
    ...leafNames.map((name) => ({ name, certificate: of(name), ...profiles[name] })),
    ...(await Promise.all(forClients)),
  ];

  const questions = leaves.flatMap(
    ({ name, certificate, issuer, usage, dnsNames, ipAddresses }): Question[] => {
      if (usage === 'authority') throw new Error(`${name} is no leaf`);
      const names = usage === 'serving' ? [...dnsNames, ...ipAddresses] : [];
      const right = { certificate, authority: of(issuer), usage, names };
      const other: AuthorityName = issuer === 'id-ca' ? 'aggregation-ca' : 'id-ca';
      const wrongUsage = usage === 'serving' ? 'client' : 'serving';
      return [
        { what: `${name} is good`, ...right, good: true },
        { what: `${name} is not good as ${wrongUsage}`, ...right, usage: wrongUsage, good: false },
        { what: `${name} is not good under ${other}`, ...right, authority: of(other), good: false },
        ...(usage === 'serving'
          ? [{ what: `${name} is not good for others`, ...right, names: ['example.com'], good: false }]
          : []),
      ];
    },
  );
  for (const name of authorityNames.flatMap((name) => [name, successorOf(name)])) {
    const certificate = of(name);
    const common = { certificate, usage: 'authority', names: [] } as const;
    questions.push({ what: `${name} is an authority`, ...common, authority: certificate, good: true });
  }

  const answers = await askGo(questions, t.testdir());
  t.equal(answers.length, questions.length);
  for (const [index, question] of questions.entries()) {
    const { what, good } = question;
    const answer = answers[index] ?? 'no answer';
    t.equal(answer === '', good, `Go: ${what}${answer === '' ? '' : ` (${answer})`}`);
    t.equal(nodeSays(question), good, `Node: ${what}`);
  }
});
