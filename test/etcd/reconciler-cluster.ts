import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Holder } from '../../src/ipc/services/certs.js';
import { JobPool } from '../../src/jobs/pool.js';
import { poll } from '../../src/lib/time.js';
import { kubeCommand, type Components, type KubeProgram } from '../../src/platform/components.js';
import { loadConfig } from '../../src/platform/config.js';
import { features, type Features } from '../../src/platform/kubernetes-versions.js';
import { resolveComponents } from '../../src/provision/components.js';
import { credentialFiles } from '../../src/workers/certs/credentials.js';
import { issuePki } from '../../src/workers/certs/issue.js';
import { parsePki, type Pki } from '../../src/workers/certs/pki.js';
import { ApiClient } from '../../src/workers/reconciler/client.js';
import { TestEtcd } from './certs-etcd.js';

const startTimeoutMs = 60_000;
const run = promisify(execFile);

/** A port that nobody listens on right now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A real etcd and a real kube-apiserver in a folder of their own, with a PKI of their own; no kubelet. */
export class TestCluster implements AsyncDisposable {
  readonly nodeName = 'hamlet-test';
  readonly features: Features;
  readonly port: number;
  readonly #command: (program: KubeProgram) => readonly [string, ...string[]];
  readonly #folder: string;
  readonly #etcd: TestEtcd;
  readonly #pki: Pki;
  #apiserver: ChildProcess | undefined;
  #admin: ApiClient | undefined;

  private constructor(parts: {
    components: Components;
    folder: string;
    port: number;
    etcd: TestEtcd;
    pki: Pki;
  }) {
    const { components, folder, port, etcd, pki } = parts;
    this.#command = (program) => kubeCommand(components, program);
    this.features = features(components.kubernetesVersion);
    this.#folder = folder;
    this.port = port;
    this.#etcd = etcd;
    this.#pki = pki;
  }

  static async start(): Promise<TestCluster> {
    const components = await resolveComponents(
      await loadConfig(process.env.HAMLET_CONFIG),
      AbortSignal.timeout(startTimeoutMs),
    );
    const [port, etcd, pki] = await Promise.all([freePort(), TestEtcd.start(), makePki('hamlet-test')]);
    const folder = await mkdtemp(path.join(tmpdir(), 'hamlet-apiserver-'));
    const cluster = new TestCluster({ components, folder, port, etcd, pki });
    try {
      await cluster.startApiserver();
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  get #places() {
    return { apiserverPort: this.port, secretsFolder: this.#folder };
  }

  /** What the certs service would hand out. */
  credentials(holder: Holder) {
    return credentialFiles(this.#pki, holder, this.#places);
  }

  /** The same from a PKI that this API server does not know. */
  async foreignCredentials(holder: Holder) {
    const foreign = credentialFiles(await makePki('hamlet-foreign'), holder, this.#places);
    const [authority] = this.credentials(holder);
    return foreign.map((file) => (file.name === authority?.name ? authority : file));
  }

  /** A client with the rights of the node's administrator. */
  get admin(): ApiClient {
    if (this.#admin !== undefined) return this.#admin;
    const files = new Map(
      this.credentials('master').map(({ name, data }) => [name, Buffer.from(data).toString()]),
    );
    const pem = (name: string) => files.get(name) ?? '';
    this.#admin = new ApiClient(`https://127.0.0.1:${this.port}`, {
      ca: pem('ca.crt'),
      cert: pem('client.crt'),
      key: pem('client.key'),
    });
    return this.#admin;
  }

  /** Starts the API server and waits until it is ready. */
  async startApiserver(): Promise<void> {
    const secret = (name: string) => path.join(this.#folder, name);
    for (const { name, data } of this.credentials('kube.apiserver')) await writeFile(secret(name), data);
    const [file, ...args] = this.#command('kube-apiserver');
    args.push(
      '--bind-address=127.0.0.1',
      `--secure-port=${this.port}`,
      `--etcd-servers=unix:///${this.#etcd.socket}`,
      '--service-cluster-ip-range=10.96.0.0/16',
      '--endpoint-reconciler-type=none',
      '--authorization-mode=Node,RBAC',
      `--cert-dir=${this.#folder}`,
      `--client-ca-file=${secret('ca.crt')}`,
      `--tls-cert-file=${secret('apiserver.crt')}`,
      `--tls-private-key-file=${secret('apiserver.key')}`,
      `--service-account-key-file=${secret('service-account.pub')}`,
      `--service-account-signing-key-file=${secret('service-account.key')}`,
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    );
    if (this.features.podSecurityPolicy) args.push('--enable-admission-plugins=PodSecurityPolicy');
    const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.pipe(createWriteStream(this.#logFile, { flags: 'a' }));
    this.#apiserver = child;
    await poll(
      async () => {
        if (child.exitCode !== null) throw new Error(`it exited:\n${await this.#logTail()}`);
        await this.admin.get('/api/v1/namespaces/default', {}, AbortSignal.timeout(2_000));
        return true;
      },
      { everyMs: 100, timeoutMs: startTimeoutMs, what: 'the API server' },
    );
  }

  /** As a crash would end it. */
  async killApiserver(): Promise<void> {
    const child = this.#apiserver;
    this.#apiserver = undefined;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Leaves the API server's connections open, and nothing on them answered. */
  pauseApiserver(): void {
    this.#apiserver?.kill('SIGSTOP');
  }

  resumeApiserver(): void {
    this.#apiserver?.kill('SIGCONT');
  }

  /** kubectl with the administrator's rights; gives what it prints, or throws with it. */
  async kubectl(args: readonly string[], input = ''): Promise<string> {
    const [program, ...first] = this.#command('kubectl');
    const file = (name: string) => path.join(this.#folder, `master-${name}`);
    for (const { name, data } of this.credentials('master')) await writeFile(file(name), data);
    const child = run(
      program,
      [
        ...first,
        `--server=https://127.0.0.1:${this.port}`,
        `--certificate-authority=${file('ca.crt')}`,
        `--client-certificate=${file('client.crt')}`,
        `--client-key=${file('client.key')}`,
        `--cache-dir=${this.#folder}/kubectl`,
        ...args,
      ],
      { timeout: 30_000, env: { HOME: this.#folder } },
    );
    child.child.stdin?.end(input);
    const { stdout } = await child;
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#admin?.close();
    await this.killApiserver();
    await this.#etcd[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #logFile(): string {
    return path.join(this.#folder, 'apiserver.log');
  }

  async #logTail(): Promise<string> {
    return (await readFile(this.#logFile, 'utf8')).split('\n').slice(-10).join('\n');
  }
}

async function makePki(nodeName: string): Promise<Pki> {
  const facts = {
    nodeName,
    nodeAddresses: [],
    firstServiceIp: '10.96.0.1',
    clusterDomain: 'cluster.local',
  };
  await using jobs = new JobPool();
  const nowMs = Date.now();
  return parsePki(await issuePki(jobs, facts, nowMs, AbortSignal.timeout(startTimeoutMs)), facts, nowMs);
}
