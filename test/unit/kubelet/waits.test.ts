import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t from 'tap';
import { deferred } from '../../../src/ipc/deferred.js';
import { poll } from '../../../src/lib/time.js';
import { Waits } from '../../../src/workers/kubelet/waits.js';
import { policyOf } from './context.js';

const never = new AbortController().signal;

void t.test('what a start waits for is told while it does', async (t) => {
  const told: string[] = [];
  const waits: Waits = new Waits((name) => told.push(`${name}: ${waits.of(name).join()}`));
  const first = deferred<number>();
  const second = deferred<number>();
  const waitingFor = waits.begin('etcd');
  const both = [waitingFor('first', first.promise), waitingFor('second', second.promise)];
  second.resolve(2);
  t.equal(await both[1], 2);
  t.same(told, ['etcd: first', 'etcd: first,second', 'etcd: first']);
  waits.begin('etcd');
  t.same(waits.of('etcd'), [], 'a new start begins with none');
  t.same(waits.of('containerd'), []);
  first.reject(new Error('no'));
  await t.rejects(Promise.all(both), { message: 'no' }, 'and an error passes through');
});

void t.test('the kubelet waits for the API server to listen', async (t) => {
  const server = createServer();
  t.teardown(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));

  // A run-time folder has to have a short name.
  const dir = mkdtempSync(path.join(tmpdir(), 'hamlet-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const settings = { ports: { apiserver: port }, paths: { state: `${dir}/state`, run: `${dir}/run` } };
  const waits = new Waits(() => undefined);
  const prepared = policyOf({ settings })['kube.kubelet']?.prepare(never, waits.begin('kube.kubelet'));
  t.ok(waits.of('kube.kubelet').includes('ImagesImported'));
  const listens = () => waits.of('kube.kubelet').join() === 'APIServerListens' || undefined;
  await poll(listens, { everyMs: 5, timeoutMs: 10_000, what: 'a wait for the port alone' });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  await prepared;
  t.same(waits.of('kube.kubelet'), []);
});
