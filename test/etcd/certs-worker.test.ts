import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import t from 'tap';
import { Router } from '../../src/host/router.js';
import { startThread, type Thread } from '../../src/host/threads.js';
import { client } from '../../src/ipc/client.js';
import { connect, type Connection } from '../../src/ipc/connection.js';
import type { Client, Handlers } from '../../src/ipc/contract.js';
import { serve } from '../../src/ipc/server.js';
import { certs } from '../../src/ipc/services/certs.js';
import { host, type ConditionUpdate } from '../../src/ipc/services/host.js';
import { poll } from '../../src/lib/time.js';
import { builtRereads } from '../../src/platform/components.js';
import { parseConfig } from '../../src/platform/config.js';
import type { CertsData } from '../../src/workers/certs/main.js';
import { facts } from '../unit/certs/fixtures.js';
import { TestEtcd } from './certs-etcd.js';

const log = pino({ enabled: false });
const caller = { transport: 'unix', uid: 0, pid: 1 } as const;

/** The certs worker as the node runs it, on a real mesh with a board of conditions. */
class CertsNode implements AsyncDisposable {
  readonly conditions: ConditionUpdate[] = [];
  readonly #router: Router;
  readonly #folder: string;
  readonly #etcd: TestEtcd;
  readonly #connections: Connection[] = [];
  #thread: Thread | undefined;

  private constructor(router: Router, folder: string, etcd: TestEtcd) {
    this.#router = router;
    this.#folder = folder;
    this.#etcd = etcd;
  }

  static async start(etcd: TestEtcd): Promise<CertsNode> {
    const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-certs-'));
    const endpoints = [
      { name: 'main', serves: [host] },
      { name: 'certs', serves: [certs], calls: [host] },
      { name: 'kubelet', calls: [certs] },
      { name: 'debug', calls: [certs] },
    ];
    const router = await Router.listen({ path: path.join(folder, 'mesh', 'router.sock'), endpoints, log });
    const node = new CertsNode(router, folder, etcd);
    const board: Pick<Handlers<typeof host>, 'setConditions'> = {
      setConditions({ conditions }) {
        node.conditions.push(...conditions);
        return {};
      },
    };
    const missing = (): never => {
      throw new Error('not part of this test');
    };
    const rest = Object.fromEntries(Object.keys(host.methods).map((method) => [method, missing]));
    serve(await node.#connect('main'), host, { ...rest, ...board } as Handlers<typeof host>);
    return node;
  }

  /** Starts the worker; one that runs is ended first, without a word to it. */
  async startWorker(): Promise<void> {
    await this.#thread?.terminate();
    this.conditions.length = 0;
    const data: CertsData = {
      config: parseConfig({ paths: { state: this.#folder, run: this.#folder } }, 'test'),
      nodeName: facts.nodeName,
      nodeAddresses: facts.nodeAddresses,
      firstServiceIp: facts.firstServiceIp,
      rereads: builtRereads,
      etcdSocket: this.#etcd.socket,
      sealingKey: new Uint8Array(32).fill(7),
    };
    this.#thread = startThread({
      name: 'certs',
      url: new URL('../../src/workers/certs/main.js', import.meta.url),
      mesh: { path: this.#router.path, secret: this.#router.admit('certs') },
      data,
      log: { level: 'silent' },
    });
    await this.#thread.ready;
  }

  /** Ends the worker as the node does; gives how it ended. */
  async stopWorker(): Promise<string | undefined> {
    return (await this.#thread?.stop(5_000))?.kind;
  }

  async client(name: string): Promise<Client<typeof certs>> {
    return client(await this.#connect(name), certs);
  }

  /** Waits for a condition of this status and reason. */
  async condition(status: string, reason: string): Promise<ConditionUpdate> {
    return await poll(
      () => this.conditions.find((update) => update.status === status && update.reason === reason),
      { everyMs: 5, timeoutMs: 20_000, what: `PKIReady is ${status} ${reason}` },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread?.terminate();
    await Promise.all(this.#connections.map((connection) => connection.close()));
    await this.#router.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #connect(name: string): Promise<Connection> {
    const connection = await connect({
      path: this.#router.path,
      name,
      secret: this.#router.admit(name),
      log,
    });
    this.#connections.push(connection);
    return connection;
  }
}

t.setTimeout(120_000);

void t.test('the worker waits for etcd, issues the PKI, and finds it again', async (t) => {
  await using etcd = new TestEtcd();
  await using node = await CertsNode.start(etcd);
  const kubelet = await node.client('kubelet');
  const debug = await node.client('debug');
  await node.startWorker();

  t.match(await node.condition('false', 'WaitingForEtcd'), {
    name: 'PKIReady',
    message: `waits for etcd at ${etcd.socket}`,
  });
  const waitsFor = { code: 'UNAVAILABLE', message: `there is no PKI yet: waits for etcd at ${etcd.socket}` };
  await t.rejects(debug.debugKubeconfig({ id: 'jane', groups: [], caller }), waitsFor);
  await t.rejects(kubelet.credentials({ holder: 'master' }, { deadlineMs: 8_000 }), waitsFor);

  const early = kubelet.credentials({ holder: 'kube.apiserver' });
  await etcd.start();
  const { files } = await early;
  t.equal(files.length, 12);
  await node.condition('true', '');
  t.match((await debug.debugKubeconfig({ id: 'jane', groups: [], caller })).kubeconfig, /name: "jane"/);
  await t.rejects(debug.credentials({ holder: 'master' }), { code: 'PERMISSION_DENIED' });

  const { authorities } = await kubelet.authorities({});
  const revision = await etcd.revision();
  await node.startWorker();
  t.same((await kubelet.authorities({})).authorities, authorities);
  t.same((await kubelet.credentials({ holder: 'kube.apiserver' })).files, files);
  t.equal(await etcd.revision(), revision);
  t.equal(await node.stopWorker(), 'stopped');
});

void t.test('the worker outlives an etcd that comes and goes', async (t) => {
  await using etcd = new TestEtcd();
  await using node = await CertsNode.start(etcd);
  const kubelet = await node.client('kubelet');
  await node.startWorker();
  // Gone again before it answers.
  etcd.launch();
  await etcd.kill();
  const files = kubelet.credentials({ holder: 'master' });
  await etcd.start();
  t.equal((await files).files.length, 3);
});

void t.test('a worker without etcd stops when it is asked to', async (t) => {
  await using etcd = new TestEtcd();
  await using node = await CertsNode.start(etcd);
  await node.startWorker();
  t.equal(await node.stopWorker(), 'stopped');
});

void t.test('a damaged PKI keeps the worker from being ready, and says so', async (t) => {
  await using etcd = await TestEtcd.start();
  await etcd.put('/kube-pki/id-ca.crt', Buffer.from('rubbish'));
  await using node = await CertsNode.start(etcd);
  const kubelet = await node.client('kubelet');
  await node.startWorker();
  const message = /\/kube-pki\/id-ca\.crt is not a certificate/;
  t.match(await node.condition('false', 'Refused'), { name: 'PKIReady', message });
  await t.rejects(kubelet.credentials({ holder: 'master' }), { code: 'DATA_LOSS', message });
});
