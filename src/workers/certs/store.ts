import { connect } from 'node:net';
import { once } from 'node:events';
// The package's main file also loads leases, locks, watches and elections: 30 ms and 6 MB that are not needed here.
import { ConnectionPool } from 'etcd3/lib/connection-pool.js';
import { KVClient, type IKeyValue } from 'etcd3/lib/rpc.js';
import { HamletError } from '../../lib/errors.js';
import { sleep } from '../../lib/time.js';
import { pkiPrefix, type PkiChanges, type PkiValues } from './pki.js';

/** What lay below the prefix at one moment: the values, and the revision at which each was written last. */
export interface Snapshot {
  readonly values: PkiValues;
  readonly revisions: ReadonlyMap<string, string>;
}

/** Where a PKI is kept. */
export interface PkiStore {
  read(signal: AbortSignal): Promise<Snapshot>;
  /**
   * Makes all changes in one transaction, if none of what they replace has changed since `snapshot` was read.
   * Gives false when it has. Throws UNAVAILABLE when nobody knows whether it was written.
   */
  write(changes: PkiChanges, snapshot: Snapshot, signal: AbortSignal): Promise<boolean>;
}

/** One answer of an etcd that is up; a write waits for a disk's fsync, which a busy disk makes long. */
const callTimeoutMs = 10_000;

/** Keys in one answer where there may be many: a Secret has 1 MiB at most, and a gRPC message 4 by default. */
const pageKeys = 3;

/** The PKI in etcd, over etcd's Unix socket. */
export class EtcdStore implements PkiStore, AsyncDisposable {
  readonly #pool: ConnectionPool;
  readonly #kv: KVClient;

  constructor(socketPath: string) {
    this.#pool = new ConnectionPool({
      hosts: `unix:${socketPath}`,
      // Without its own pool of connections a new client would inherit the back-off of the one before it.
      grpcOptions: { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_http_proxy': 0 },
    });
    this.#kv = new KVClient(this.#pool);
  }

  /** Everything below the prefix, read through the raft log: what a write before it has left, never less. */
  async read(signal: AbortSignal): Promise<Snapshot> {
    const { kvs } = await this.#call(signal, (options) =>
      this.#kv.range({ key: Buffer.from(pkiPrefix), range_end: prefixEnd(pkiPrefix) }, options),
    );
    const entries = kvs.map((kv: IKeyValue) => ({ ...kv, name: kv.key.toString() }));
    return {
      values: new Map(entries.map(({ name, value }) => [name, value])),
      revisions: new Map(entries.map(({ name, mod_revision }) => [name, mod_revision])),
    };
  }

  async write(changes: PkiChanges, snapshot: Snapshot, signal: AbortSignal): Promise<boolean> {
    const entries = Array.from(changes, ([name, value]) => ({
      key: Buffer.from(name),
      value,
      // A key that does not exist has the revision 0.
      revision: snapshot.revisions.get(name) ?? '0',
    }));
    const { succeeded } = await this.#call(signal, (options) =>
      this.#kv.txn(
        {
          compare: entries.map(({ key, revision }) => ({
            key,
            target: 'Mod',
            result: 'Equal',
            mod_revision: revision,
          })),
          success: entries.map(({ key, value }) =>
            value === null
              ? { request_delete_range: { key } }
              : { request_put: { key, value: Buffer.from(value) } },
          ),
        },
        options,
      ),
    );
    return succeeded;
  }

  /** How many values there are below a key, and how many of them begin with a prefix. Read in pieces: there may be many. */
  async countPrefixed(
    below: string,
    prefix: string,
    signal: AbortSignal,
  ): Promise<{ readonly all: number; readonly prefixed: number }> {
    const wanted = Buffer.from(prefix);
    let from = Buffer.from(below);
    let all = 0;
    let prefixed = 0;
    for (;;) {
      const { kvs, more } = await this.#call(signal, (options) =>
        this.#kv.range({ key: from, range_end: prefixEnd(below), limit: pageKeys }, options),
      );
      all += kvs.length;
      prefixed += kvs.filter(({ value }) => value.subarray(0, wanted.length).equals(wanted)).length;
      const last = kvs.at(-1);
      if (!more || last === undefined) return { all, prefixed };
      // The next key after the last one.
      from = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#pool.close();
  }

  async #call<T>(signal: AbortSignal, call: (options: { deadline: number }) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const finished = new AbortController();
    try {
      return await Promise.race([
        call({ deadline: Date.now() + callTimeoutMs }),
        once(signal, 'abort', { signal: finished.signal }).then(() => signal.throwIfAborted() as never),
      ]);
    } catch (error) {
      signal.throwIfAborted();
      throw new HamletError('UNAVAILABLE', 'etcd does not answer', { cause: error });
    } finally {
      finished.abort();
    }
  }
}

/**
 * Waits until somebody accepts connections on the socket. etcd does so a little before it answers, but a request made
 * then is answered with its first breath. Throws the signal's reason.
 */
export async function waitForSocket(socketPath: string, signal: AbortSignal): Promise<void> {
  const startedAtMs = performance.now();
  while (!(await accepts(socketPath))) {
    // A twentieth of what was waited so far: soon noticed at a start, cheap when etcd stays away.
    await sleep(Math.min(500, Math.max(10, (performance.now() - startedAtMs) / 20)), signal);
  }
}

async function accepts(socketPath: string): Promise<boolean> {
  const socket = connect(socketPath);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** The key that follows every key with this prefix: its last byte counted up by one. */
function prefixEnd(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  end.writeUInt8(end.readUInt8(end.length - 1) + 1, end.length - 1);
  return end;
}
