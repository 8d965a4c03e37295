import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { closeSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { ConditionBoard } from '../../src/host/conditions.js';
import { Router } from '../../src/host/router.js';
import { startThread, type Thread } from '../../src/host/threads.js';
import { connect, type Connection } from '../../src/ipc/connection.js';
import type { Handlers, Service } from '../../src/ipc/contract.js';
import { serve } from '../../src/ipc/server.js';
import { certs, type CredentialFile } from '../../src/ipc/services/certs.js';
import { host, type Condition } from '../../src/ipc/services/host.js';
import { HamletError } from '../../src/lib/errors.js';
import { allConditionNames, type ConditionName } from '../../src/lib/names.js';
import { poll } from '../../src/lib/time.js';
import type { TestCluster } from './reconciler-cluster.js';

const silent = pino({ level: 'silent' });
const endpoints = [
  { name: 'main', serves: [host], calls: [] },
  { name: 'certs', serves: [certs], calls: [] },
  { name: 'reconciler', serves: [], calls: [host, certs] },
] as const;

const notHere = (): never => {
  throw new HamletError('UNIMPLEMENTED', 'not part of this test');
};

/** What a test does not serve. */
function rest<S extends Service>(service: S): Handlers<S> {
  return Object.fromEntries(
    Object.keys(service.methods).map((name) => [name, notHere]),
  ) as unknown as Handlers<S>;
}

const kubelet = { name: 'kube.kubelet', pid: 1, startTicks: 0, run: 1, startedAtMs: 0, digest: '' };

/** The real worker thread on a real mesh, beside a real board of conditions; only what it asks certs for is given. */
export class TestReconciler implements AsyncDisposable {
  readonly board = new ConditionBoard(allConditionNames, Date.now());
  /** How often credentials were asked for. */
  credentialRequests = 0;
  readonly #folder: string;
  readonly #router: Router;
  readonly #connections: readonly Connection[];
  readonly #thread: Thread;
  readonly #logFd: number;

  private constructor(parts: {
    folder: string;
    router: Router;
    connections: readonly Connection[];
    cluster: TestCluster;
    credentials: () => Promise<CredentialFile[]> | CredentialFile[];
  }) {
    this.#folder = parts.folder;
    this.#router = parts.router;
    this.#connections = parts.connections;
    const [main, certificates] = parts.connections;
    if (main === undefined || certificates === undefined) throw new Error('two connections are needed');
    serve(main, host, {
      ...rest(host),
      conditions: (_request, { signal }) => this.board.watch(signal),
      condition: ({ name }) => this.board.get(name),
      setConditions: ({ conditions }) => {
        for (const condition of conditions) this.board.set(condition, Date.now());
        return {};
      },
      // The test plays the kubelet itself: by the table it has been running all along.
      async *children(_request, { signal }) {
        yield { children: [{ ...kubelet, exit: null }], snapshot: true };
        await once(signal, 'abort');
      },
    });
    serve(certificates, certs, {
      ...rest(certs),
      credentials: async () => {
        this.credentialRequests += 1;
        return { files: await parts.credentials() };
      },
    });
    this.#logFd = openSync(this.#logFile, 'a');
    this.#thread = startThread({
      name: 'reconciler',
      url: new URL('../../src/workers/reconciler/main.js', import.meta.url),
      mesh: { path: this.#router.path, secret: this.#router.admit('reconciler') },
      data: {
        config: { ports: { apiserver: parts.cluster.port } },
        node: { name: parts.cluster.nodeName },
      },
      log: { fd: this.#logFd, level: 'debug' },
    });
  }

  static async start(
    cluster: TestCluster,
    credentials: () => Promise<CredentialFile[]> | CredentialFile[] = () => cluster.credentials('master'),
  ): Promise<TestReconciler> {
    const folder = await mkdtemp(path.join(tmpdir(), 'hamlet-reconciler-'));
    const router = await Router.listen({
      path: path.join(folder, 'mesh', 'router.sock'),
      endpoints,
      log: silent,
    });
    const join = (name: string) =>
      connect({ path: router.path, name, secret: router.admit(name), log: silent });
    const connections = [await join('main'), await join('certs')];
    const reconciler = new TestReconciler({ folder, router, connections, cluster, credentials });
    await reconciler.#thread.ready;
    return reconciler;
  }

  /** Says on the board what others would say. */
  say(name: ConditionName, status: Condition['status']): void {
    this.board.set(
      { name, status, reason: status === 'true' ? '' : 'Test', message: 'said by a test' },
      Date.now(),
    );
  }

  /** As after the start of everything else. */
  sayReady(): void {
    this.say('PKIReady', 'true');
    this.say('APIServerReady', 'true');
  }

  /** Waits until a condition has a status and, if given, a reason. */
  async until(name: ConditionName, status: Condition['status'], reason?: string): Promise<Condition> {
    const isWanted = (condition: Condition) =>
      condition.status === status && (reason === undefined || condition.reason === reason);
    try {
      return await poll(
        () => {
          const condition = this.board.get(name);
          return isWanted(condition) ? condition : undefined;
        },
        { everyMs: 2, timeoutMs: 30_000, what: `${name} ${status} ${reason ?? ''}` },
      );
    } catch (error) {
      throw new Error(
        `${name} is ${JSON.stringify(this.board.get(name))}; the worker's log:\n${await this.log()}`,
        { cause: error },
      );
    }
  }

  /** The worker's log, line by line as JSON. */
  async log(): Promise<string> {
    return readFile(this.#logFile, 'utf8');
  }

  /** Waits until the log has something in it. */
  async untilLogged(pattern: RegExp): Promise<void> {
    try {
      await poll(async () => (pattern.test(await this.log()) ? true : undefined), {
        everyMs: 10,
        timeoutMs: 30_000,
        what: `${String(pattern)} in the log`,
      });
    } catch (error) {
      throw new Error(`the worker's log:\n${await this.log()}`, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread.stop(5_000);
    await Promise.all(this.#connections.map((connection) => connection.close()));
    await this.#router.close();
    closeSync(this.#logFd);
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #logFile(): string {
    return path.join(this.#folder, 'reconciler.log');
  }
}
