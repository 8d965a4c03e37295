import { spawn } from 'node:child_process';
import path from 'node:path';
import { connect } from 'node:tls';
import t, { type Test } from 'tap';
import { messageOf } from '../../src/lib/errors.js';
import { writeFileAtomic } from '../../src/lib/files.js';
import { poll, sleep } from '../../src/lib/time.js';
import { backdatedMs } from '../../src/workers/certs/profiles.js';
import { TestNode, timedNode } from '../node/support/hamlet.js';
import { testImage, writeTestImage } from '../node/support/image.js';

/** Leaves of two minutes, which are renewed when 80 seconds of them are over. */
const leafMs = 120_000;
/** What the clock of the certs worker gains on the machine's, which is the only one that the components have. */
const gain = 0.4;
/** It may be ahead as far as certificates are backdated, less what it gains until one is used. */
const maxAheadMs = backdatedMs - 30_000;
const renewals = Number(process.env.HAMLET_RENEWALS ?? 10);
/** It takes some three minutes, two of them until the last debug credential has ended. */
const rotationTimeoutMs = 600_000;

t.setTimeout(renewals * 100_000 + rotationTimeoutMs);

const { signal } = new AbortController();

/** The clock of the certs worker, which goes faster than the machine's whenever it is looked at. */
class FastClock {
  readonly file: string;
  readonly #beganMs = performance.now();

  constructor(folder: string) {
    this.file = path.join(folder, 'clock');
    this.move();
  }

  move(): void {
    const aheadMs = Math.min(maxAheadMs, Math.round((performance.now() - this.#beganMs) * gain));
    writeFileAtomic(this.file, String(aheadMs), 0o644);
  }
}

const everySecond = 'while true; do date +%s; sleep 1; done';
const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'clock' },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'clock',
        image: testImage,
        imagePullPolicy: 'IfNotPresent',
        command: ['sh', '-c', everySecond],
      },
    ],
  },
};

/** The serial number of what a server shows, and when that ends. */
async function servedBy(port: number): Promise<{ readonly serial: string; readonly endsAtMs: number }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      const { serialNumber, valid_to: end } = socket.getPeerCertificate();
      socket.destroy();
      resolve({ serial: serialNumber, endsAtMs: Date.parse(end) });
    });
    socket.once('error', reject);
  });
}

/** A request that never ends by itself. */
class OpenRequest {
  readonly name: string;
  output = '';
  ended: string | undefined;

  constructor(t: Test, node: TestNode, args: readonly string[]) {
    this.name = args.join(' ');
    const child = spawn(...node.command(['kubectl', ...args]), { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (this.output += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (this.output += chunk));
    child.once(
      'close',
      (code, by) =>
        (this.ended = `ended with ${code ?? by} on ${new Date().toISOString()}: ${this.output.slice(-100)}`),
    );
    t.teardown(() => child.kill('SIGTERM'));
  }

  /** The last time that it has brought, seconds since the epoch. */
  get latest(): number {
    return Number(this.output.trimEnd().split('\n').at(-1));
  }
}

async function isTrue(node: TestNode, condition: string): Promise<true | undefined> {
  return (await node.dbg(['condition', condition])).code === 0 || undefined;
}

void t.test('ten renewals and a rotation of the authorities, and no request fails', async (t) => {
  const node = await TestNode.create({ pki: { caTtl: '2h', leafTtl: '20m', debugTtl: '2m' } });
  t.teardown(() => node.remove());
  writeTestImage(path.join(node.imagesDir, 'busybox.tar'));
  const clock = new FastClock(node.folder);
  node.start({ TEST_LIFETIMES: JSON.stringify({ leafMs }), TEST_CLOCK: clock.file }, timedNode);
  await node.ready();
  await node.kubectl(['create', '-f', '-'], { input: JSON.stringify(pod) });
  await node.waitForPod('clock');

  const watch = new OpenRequest(t, node, ['get', 'pods', '--watch', '-o', 'name']);
  const clocks = [
    new OpenRequest(t, node, ['logs', '--follow', 'clock']),
    new OpenRequest(t, node, ['exec', 'clock', '--', 'sh', '-c', everySecond]),
  ];
  const seen = new Map(
    (['apiserver', 'kubelet', 'controllerManager', 'scheduler'] as const).map((name) => [
      name,
      new Set<string>(),
    ]),
  );
  const failures: string[] = [];
  let requests = 0;
  const ask = async (args: readonly string[]): Promise<void> => {
    requests += 1;
    const { code, stderr } = await node.dbg(['kubectl', ...args]);
    if (code !== 0) failures.push(`${new Date().toISOString()} ${args.join(' ')}: ${stderr}`);
  };
  const look = async (): Promise<void> => {
    clock.move();
    await ask(['get', 'pods']);
    await ask(['exec', 'clock', '--', 'true']);
    await ask(['logs', '--tail=1', 'clock']);
    for (const [name, serials] of seen) {
      const served = await servedBy(node.ports[name]).catch((error: unknown) => {
        // Those that get their client's certificate by a restart are not there for a moment; nobody asks them anything.
        if (name === 'apiserver' || name === 'kubelet')
          failures.push(`${new Date().toISOString()} ${name} shows no certificate: ${messageOf(error)}`);
        return undefined;
      });
      if (served !== undefined) serials.add(served.serial);
      if (served !== undefined && served.endsAtMs <= Date.now())
        failures.push(`${name} shows what has ended`);
    }
    await sleep(500, signal);
  };
  const renewed = (count: number) => [...seen.values()].every(({ size }) => size > count);

  while (!renewed(Math.min(2, renewals))) await look();
  const before = await node.dbg(['certs', '-o', 'json']);
  const asked = await node.dbg(['rotate-ca']);
  t.match(asked, { code: 0, stdout: /is made to trust the new authorities/ });
  t.equal(await isTrue(node, 'AuthoritiesSettled'), undefined, 'a rotation is under way');
  t.match((await node.dbg(['certs'])).stdout, /\nRotation: /);
  while (!renewed(renewals)) await look();
  const deadlineMs = performance.now() + rotationTimeoutMs;
  while ((await isTrue(node, 'AuthoritiesSettled')) === undefined && performance.now() < deadlineMs)
    await look();

  for (const request of clocks) {
    t.equal(request.ended, undefined, `${request.name} is still open`);
    t.ok(Date.now() / 1_000 - request.latest < 10, `and has news: ${request.latest}`);
  }
  t.equal(watch.ended, undefined, 'the watch is still open');
  await node.kubectl(['label', 'pod', 'clock', 'seen=yes']);
  await poll(() => (watch.output.split('\n').length > 2 ? true : undefined), {
    ...{ everyMs: 100, timeoutMs: 30_000, what: 'the change in the watch' },
  });
  t.same(failures, [], `none of ${requests} requests fails`);
  t.equal(await isTrue(node, 'AuthoritiesSettled'), true, 'the rotation is over');
  t.equal(await isTrue(node, 'CertificatesValid'), true);
  const serialOf = ({ stdout }: { readonly stdout: string }, name: string) =>
    (JSON.parse(stdout) as { name: string; serial: string }[]).find((entry) => entry.name === name)?.serial;
  const after = await node.dbg(['certs', '-o', 'json']);
  for (const name of ['id-ca', 'aggregation-ca']) {
    t.equal(serialOf(after, name), serialOf(before, `${name}-next`), `the successor of ${name} signs`);
    t.equal(serialOf(after, `${name}-previous`), undefined, 'and nobody trusts the old one any more');
  }
  const { stdout: log } = await node.dbg(['logs', 'hamlet.kubelet']);
  t.notMatch(log, /kube\.(apiserver|kubelet) is restarted/);
  const { stdout: reconciler } = await node.dbg(['logs', 'hamlet.reconciler']);
  t.notMatch(reconciler, /Unauthorized/);
  const sizes = [...seen].map(([name, { size }]) => `${name} ${size}`).join(', ');
  t.comment(`${requests} requests; certificates seen: ${sizes}`);
});
