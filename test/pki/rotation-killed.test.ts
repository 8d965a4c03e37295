import { writeFileSync } from 'node:fs';
import { request } from 'node:https';
import path from 'node:path';
import t from 'tap';
import { poll } from '../../src/lib/time.js';
import { TestNode, timedNode } from '../node/support/hamlet.js';

t.setTimeout(1_200_000);

/** How long the old client's credential is good for, and so how long the new authorities take to settle. */
const oldClientTtl = '20m';
const settledMs = 25 * 60_000;

/** The status with which the API server answers a kubeconfig's owner; 401 for one whom it does not know. */
async function statusFor(kubeconfig: string): Promise<number> {
  const field = (name: string) => {
    const data = new RegExp(`${name}"?: "?([A-Za-z0-9+/=]+)`).exec(kubeconfig)?.[1] ?? '';
    return Buffer.from(data, 'base64');
  };
  const url = new URL('/api', /server"?: "?(https:[^"\s]+)/.exec(kubeconfig)?.[1]);
  const tls = {
    ca: field('certificate-authority-data'),
    cert: field('client-certificate-data'),
    key: field('client-key-data'),
  };
  return new Promise((resolve, reject) => {
    const asked = request(url, { ...tls, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    asked.once('error', reject).end();
  });
}

void t.test('a rotation goes on where it was when Hamlet is killed in each of its steps', async (t) => {
  const node = await TestNode.create();
  t.teardown(() => node.remove());
  const clock = path.join(node.folder, 'clock');
  writeFileSync(clock, '0');
  const start = async (): Promise<void> => {
    node.start({ TEST_CLOCK: clock }, timedNode);
    await node.ready();
  };
  const kubeconfig = async (...args: readonly string[]) => (await node.dbg(['kubeconfig', ...args])).stdout;
  const phase = async (): Promise<string> => {
    const { stdout } = await node.dbg(['condition', '-o', 'json', 'AuthoritiesSettled']);
    const { ok, reason } = JSON.parse(stdout) as { ok: boolean; reason: string };
    return ok ? 'Settled' : reason;
  };
  const until = (wanted: string) =>
    poll(async () => ((await phase().catch(() => '')) === wanted ? true : undefined), {
      ...{ everyMs: 100, timeoutMs: 400_000, what: `the phase ${wanted}` },
    });
  const serials = async () => {
    const certs = JSON.parse((await node.dbg(['certs', '-o', 'json'])).stdout) as {
      name: string;
      serial: string;
    }[];
    return new Map(certs.map(({ name, serial }) => [name, serial]));
  };

  await start();
  const before = await serials();
  const oldClient = await kubeconfig('--ttl', oldClientTtl);
  t.equal(await statusFor(oldClient), 200);

  t.equal((await node.dbg(['rotate-ca'])).code, 0);
  await node.stop('SIGKILL');
  await start();
  t.equal(await phase(), 'Trusting', 'it goes on by itself');
  t.equal((await serials()).get('id-ca'), before.get('id-ca'));
  t.equal(await statusFor(oldClient), 200);

  await until('Settling');
  await node.stop('SIGKILL');
  await start();
  t.equal(await phase(), 'Settling');
  const switched = await serials();
  t.equal(switched.get('id-ca'), before.get('id-ca-next'), 'the successor signs');
  t.equal(switched.get('id-ca-previous'), before.get('id-ca'), 'and the old one is trusted');
  const newClient = await kubeconfig();
  // The API server reads whom it trusts and what it shows once a minute.
  await poll(async () => ((await statusFor(newClient)) === 200 ? true : undefined), {
    ...{ everyMs: 500, timeoutMs: 120_000, what: 'the new client to be let in' },
  });
  t.equal(await statusFor(oldClient), 200, 'so is the old one still');

  writeFileSync(clock, String(settledMs));
  await until('Settled');
  await node.stop('SIGKILL');
  await start();
  t.equal(await phase(), 'Settled');
  const after = await serials();
  t.equal(after.get('id-ca'), before.get('id-ca-next'));
  t.notOk([...after.keys()].some((name) => name.endsWith('-previous')));
  t.equal(await statusFor(newClient), 200);
  await poll(async () => ((await statusFor(oldClient)) === 401 ? true : undefined), {
    ...{ everyMs: 500, timeoutMs: 120_000, what: 'the old client to be turned away' },
  });
});
