import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type ChannelCredentials,
  type Client,
  type ClientOptions,
  type ServiceError,
  credentials,
  loadPackageDefinition,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { pino } from 'pino';
import { Router } from '../../src/host/router.js';
import { type Thread, startThread } from '../../src/host/threads.js';
import { type Connection, connect } from '../../src/ipc/connection.js';
import type { Handlers, Service } from '../../src/ipc/contract.js';
import { serve } from '../../src/ipc/server.js';
import { certs } from '../../src/ipc/services/certs.js';
import { host } from '../../src/ipc/services/host.js';
import { logs } from '../../src/ipc/services/logs.js';

const log = pino({ enabled: false });
const protoFile = fileURLToPath(new URL('../../../proto/hamlet/debug/v1/debug.proto', import.meta.url));

type Reply = Record<string, unknown>;

/** What proto-loader makes of a service: a class with one function for each method. */
type Stub = Readonly<
  Record<
    string,
    (
      request: unknown,
      options: { deadline?: number },
      done: (error: ServiceError | null, response: Reply) => void,
    ) => { cancel(): void }
  >
>;
type StubClass = new (
  address: string,
  credentials: ChannelCredentials,
  options: ClientOptions,
) => Stub & Client;

/** The debug API by an implementation that shares nothing with the node's: proto-loader on the .proto file itself. */
export class DebugClient {
  readonly #client: Stub & Client;

  constructor(port: number, options: ClientOptions = {}) {
    const definition = loadSync(protoFile, { keepCase: true, longs: Number, defaults: true, oneofs: true });
    const root = loadPackageDefinition(definition) as unknown as {
      hamlet: { debug: { v1: { NodeDebugService: StubClass } } };
    };
    const { NodeDebugService } = root.hamlet.debug.v1;
    this.#client = new NodeDebugService(`127.0.0.1:${port}`, credentials.createInsecure(), {
      'grpc.enable_http_proxy': 0,
      ...options,
    });
  }

  /** Makes a call; `cancel` of the result gives it up. */
  call(method: string, request: unknown, options: { deadline?: number } = {}) {
    let cancel = () => {};
    const reply = new Promise<Reply>((resolve, reject) => {
      const done = (error: ServiceError | null, response: Reply) =>
        error === null ? resolve(response) : reject(error);
      const call = this.#client[method]?.(request, options, done);
      cancel = () => call?.cancel();
    });
    return Object.assign(reply, { cancel: () => cancel() });
  }

  close(): void {
    this.#client.close();
  }
}

export interface DebugNodeOptions {
  /** Where clients with a certificate are let in. */
  readonly remotePort?: number;
  /** Where the worker writes its log; nowhere unless given. */
  readonly logFd?: number;
}

/** A real mesh with a real debug worker on it; the services that it calls are the test's. */
export class DebugNode {
  readonly port: number;
  readonly socket: string;
  readonly thread: Thread;
  readonly #router: Router;
  readonly #folder: string;
  readonly #connections: Connection[] = [];
  readonly #workers: Thread[] = [];
  readonly #clients: DebugClient[] = [];

  private constructor(router: Router, folder: string, port: number, { remotePort, logFd }: DebugNodeOptions) {
    this.#router = router;
    this.#folder = folder;
    this.socket = path.join(folder, 'debug.sock');
    this.port = port;
    this.thread = startThread({
      name: 'debug',
      url: new URL('../../src/workers/debug/main.js', import.meta.url),
      mesh: { path: router.path, secret: router.admit('debug') },
      data: {
        ...{ socket: this.socket, address: '127.0.0.1', port },
        remote: remotePort === undefined ? undefined : { address: '127.0.0.1', port: remotePort },
      },
      log: logFd === undefined ? { level: 'silent' } : { fd: logFd },
    });
  }

  static async start(port?: number, options: DebugNodeOptions = {}): Promise<DebugNode> {
    const folder = await mkdtemp(path.join(tmpdir(), 'hamlet-debug-'));
    const router = await Router.listen({
      path: path.join(folder, 'mesh', 'router.sock'),
      endpoints: [
        { name: 'main', serves: [host] },
        { name: 'certs', serves: [certs] },
        { name: 'logs', serves: [logs] },
        { name: 'debug', calls: [host, certs, logs] },
      ],
      log,
    });
    return new DebugNode(router, folder, port ?? (await freePort()), options);
  }

  /** Serves `service` under the name of the worker that has it on a real node. */
  async serve<S extends Service>(
    name: string,
    service: S,
    handlers: Partial<Handlers<S>>,
  ): Promise<Connection> {
    const secret = this.#router.admit(name);
    const connection = await connect({ path: this.#router.path, name, secret, log });
    const missing = () => {
      throw new Error('not part of this test');
    };
    const rest = Object.fromEntries(Object.keys(service.methods).map((method) => [method, missing]));
    serve(connection, service, { ...rest, ...handlers });
    this.#connections.push(connection);
    return connection;
  }

  /** Starts one of the node's real workers beside the debug worker. */
  startWorker(name: string, url: URL, data: unknown): Thread {
    const mesh = { path: this.#router.path, secret: this.#router.admit(name) };
    const thread = startThread({ name, url, mesh, data, log: { level: 'silent' } });
    this.#workers.push(thread);
    return thread;
  }

  client(options?: ClientOptions): DebugClient {
    const client = new DebugClient(this.port, options);
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    await Promise.all([this.thread, ...this.#workers].map((thread) => thread.terminate()));
    await Promise.all(this.#connections.map((connection) => connection.close()));
    await this.#router.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** A TCP port that nobody listens on right now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
