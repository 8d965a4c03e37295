import { createPrivateKey } from 'node:crypto';
import t from 'tap';
import type { CertificateRequest } from '../../../src/jobs/issue-certificates.js';
import { JobPool } from '../../../src/jobs/pool.js';

const never = new AbortController().signal;

void t.test('jobs run beside each other, each on a thread of its own', async (t) => {
  await using jobs = new JobPool();
  const keys = await Promise.all([1024, 2048].map((bits) => jobs.run('generateRsaKey', { bits }, never)));
  const sizes = keys.map((der) => {
    const key = createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
    return key.asymmetricKeyDetails?.modulusLength;
  });
  t.same(sizes, [1024, 2048]);
});

void t.test('a job that fails gives its own error as the cause', async (t) => {
  await using jobs = new JobPool();
  const request: CertificateRequest = {
    ...{ name: 'a', issuer: 'nobody', usage: 'client', commonName: 'a', organizations: [] },
    ...{ dnsNames: [], ipAddresses: [], notBeforeMs: 0, notAfterMs: 1_000 },
  };
  await t.rejects(jobs.run('issueCertificates', { requests: [request], authorities: {} }, never), {
    code: 'INTERNAL',
    message: 'the job issueCertificates failed',
    cause: { message: 'a: there is no authority nobody' },
  });
});

void t.test('an abort gives a job under way up, and the pool goes on', async (t) => {
  await using jobs = new JobPool();
  const controller = new AbortController();
  const long = jobs.run('generateRsaKey', { bits: 4096 }, controller.signal);
  await jobs.run('generateRsaKey', { bits: 1024 }, never);
  controller.abort(new Error('enough'));
  await t.rejects(long, { message: 'enough' });
  await t.rejects(jobs.run('generateRsaKey', { bits: 1024 }, controller.signal), { message: 'enough' });
  await t.resolves(jobs.run('generateRsaKey', { bits: 1024 }, never));
});
