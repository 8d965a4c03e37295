import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import type { CertificateRequest } from '../../../src/jobs/issue-certificates.js';

const authority: CertificateRequest = {
  ...{ name: 'ca', issuer: 'ca', usage: 'authority', commonName: 'ca', organizations: [] },
  ...{ dnsNames: [], ipAddresses: [], notBeforeMs: 0, notAfterMs: 1_000 },
};

/** Issues batch after batch until it is ended, and says when it has done one. */
const thread = `
const { parentPort, workerData } = require('node:worker_threads');
void import(workerData.module).then(async ({ issueCertificates }) => {
  for (;;) {
    await issueCertificates(workerData.input);
    parentPort.postMessage('issued');
  }
});
`;

void t.test('a thread may be ended in the middle of it, and the process goes on', async (t) => {
  const module = new URL('../../../src/jobs/issue-certificates.js', import.meta.url).href;
  const requests = Array.from({ length: 8 }, (_, index) => ({
    ...authority,
    name: `ca-${index}`,
    issuer: `ca-${index}`,
  }));
  for (let round = 0; round < 12; round++) {
    const worker = new Worker(thread, {
      eval: true,
      workerData: { module, input: { requests, authorities: {} } },
    });
    await once(worker, 'message');
    t.equal(await worker.terminate(), 1);
  }
});
