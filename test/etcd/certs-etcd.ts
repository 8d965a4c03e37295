import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ConnectionPool } from 'etcd3/lib/connection-pool.js';
import { KVClient } from 'etcd3/lib/rpc.js';
import { EtcdStore, waitForSocket } from '../../src/workers/certs/store.js';

/** A real etcd in a folder of its own, reached over its Unix socket alone. */
export class TestEtcd implements AsyncDisposable {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'hamlet-etcd-'));
  readonly socket = path.join(this.folder, 'client:0');
  #child: ChildProcess | undefined;

  static async start(): Promise<TestEtcd> {
    const etcd = new TestEtcd();
    await etcd.start();
    return etcd;
  }

  /** Starts the process and waits until its socket is there. */
  async start(): Promise<void> {
    this.launch();
    await waitForSocket(this.socket, AbortSignal.timeout(20_000));
  }

  /** Starts the process without waiting for it. */
  launch(): void {
    const args = ['--name=test', '--data-dir=data', '--log-level=error'];
    args.push('--listen-client-urls=unix://client:0', '--advertise-client-urls=unix://client:0');
    args.push('--listen-peer-urls=unix://peer:0', '--initial-advertise-peer-urls=unix://peer:0');
    args.push('--initial-cluster=test=unix://peer:0');
    // etcd 3.4 does not take the socket of one that was killed away, and then cannot listen on it.
    rmSync(this.socket, { force: true });
    this.#child = spawn('etcd', args, { cwd: this.folder, stdio: 'ignore' });
  }

  store(): EtcdStore {
    return new EtcdStore(this.socket);
  }

  /** Counts the transactions that have changed something. */
  async revision(): Promise<number> {
    return await this.#withClient(async (kv) => {
      const { header } = await kv.range({ key: Buffer.from('/'), limit: 1 });
      return Number(header.revision);
    });
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    await this.#withClient((kv) => kv.put({ key: Buffer.from(key), value: Buffer.from(value) }));
  }

  async delete(key: string): Promise<void> {
    await this.#withClient((kv) => kv.deleteRange({ key: Buffer.from(key) }));
  }

  /** Ends it as a power cut would. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #withClient<T>(use: (kv: KVClient) => Promise<T>): Promise<T> {
    const pool = new ConnectionPool({ hosts: `unix:${this.socket}` });
    try {
      return await use(new KVClient(pool));
    } finally {
      pool.close();
    }
  }
}
