import t from 'tap';
import type { EncryptionProgress } from '../../../src/ipc/services/certs.js';
import { HamletError } from '../../../src/lib/errors.js';
import { encryptSecrets } from '../../../src/workers/reconciler/secrets.js';

const never = new AbortController().signal;

/** Secrets behind an API server that has one key, and the certs worker's view of them. For faults; no network. */
class Cluster {
  readonly #keys = new Map<string, string>();
  readonly log: string[] = [];
  serverKey = 'old';
  writes = 0;
  fault: HamletError | undefined;

  constructor(count: number) {
    for (let index = 0; index < count; index++) this.#keys.set(`secret-${index}`, 'old');
  }

  get progress(): EncryptionProgress {
    const keys = [...this.#keys.values()];
    if (!keys.includes('new')) return 'waiting';
    return keys.every((key) => key === 'new') ? 'done' : 'writing';
  }

  #get(query: { readonly limit?: unknown; readonly continue?: unknown }): unknown {
    if (this.fault !== undefined) throw this.fault;
    const start = Number(query.continue ?? 0);
    const end = start + Number(query.limit);
    const items = [...this.#keys.keys()].slice(start, end).map((name) => ({
      metadata: { name, namespace: 'default' },
    }));
    return { metadata: { continue: end < this.#keys.size ? String(end) : '' }, items };
  }

  #replace(path: string): void {
    this.writes += 1;
    const name = path.split('/').at(-1) ?? '';
    if (name === 'secret-2' && this.writes < 5) throw new HamletError('ABORTED', 'it has changed');
    this.#keys.set(name, this.serverKey);
  }

  async encrypt(waitsMs: readonly number[] = [0, 0, 0]): Promise<void> {
    const api = {
      get: async <T>(_path: string, query: object) => this.#get(query) as T,
      replace: async (path: string, object: { readonly kind: string; readonly apiVersion: string }) => {
        t.match(object, { kind: 'Secret', apiVersion: 'v1' });
        this.#replace(path);
        return { ...object, metadata: { name: '' } };
      },
    };
    const service = { encryption: async () => ({ progress: this.progress }) };
    const log = { debug: () => undefined, info: (message: string) => this.log.push(message) };
    await encryptSecrets(api as never, service, log as never, never, waitsMs);
  }
}

void t.test('every Secret is written, page by page, and again where somebody was in between', async (t) => {
  const cluster = new Cluster(25);
  cluster.serverKey = 'new';
  await cluster.encrypt();
  t.equal(cluster.progress, 'done');
  t.same(cluster.log, ['every Secret is encrypted by the current key']);
  t.equal(cluster.writes, 50, 'one was missed by the first pass');
  await cluster.encrypt();
  t.equal(cluster.writes, 50, 'and nothing is written without need');
});

void t.test('an API server that has yet to learn of the key is left in peace', async (t) => {
  const cluster = new Cluster(25);
  await cluster.encrypt();
  t.equal(cluster.writes, 3, 'one Secret a try says that it has not');
  t.equal(cluster.progress, 'waiting');
  t.same(cluster.log, []);
});

void t.test('who was interrupted goes on where it was', async (t) => {
  const cluster = new Cluster(12);
  cluster.serverKey = 'new';
  cluster.fault = new HamletError('UNAVAILABLE', 'no answer');
  await t.rejects(cluster.encrypt(), { code: 'UNAVAILABLE' });
  cluster.fault = undefined;
  await cluster.encrypt();
  t.equal(cluster.progress, 'done');
});
