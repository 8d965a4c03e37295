import { Worker } from 'node:worker_threads';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import * as v from 'valibot';
import { codeOf } from '../../src/lib/errors.js';
import { poll } from '../../src/lib/time.js';
import { client } from '../../src/ipc/client.js';
import { service, stream, unary } from '../../src/ipc/contract.js';
import { serve } from '../../src/ipc/server.js';
import type { FuzzerData, FuzzerMessage } from './fixtures/fuzzer.js';
import { Mesh } from './fixtures/mesh.js';

/** MESH_FUZZ_FRAMES makes it longer or shorter, MESH_FUZZ_SEED repeats a run. */
const frames = Number(process.env.MESH_FUZZ_FRAMES ?? 1_000_000);
const seed = Number(process.env.MESH_FUZZ_SEED ?? Date.now() % 1_000_000);

const methods = {
  echo: unary(v.strictObject({ text: v.string() }), v.strictObject({ text: v.string() })),
  count: stream(v.strictObject({ to: v.number() }), v.strictObject({ n: v.number() })),
  hang: unary(v.strictObject({}), v.strictObject({})),
};
/** Called by the honest and by the one who sends nonsense. */
const target = service('target', methods);
/** Served by the one who sends nonsense, and called by the honest. */
const nonsense = service('nonsense', methods);

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/** Bytes that this process holds after a full collection. */
async function heldBytes(): Promise<number> {
  for (let round = 0; round < 3; round += 1) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

void t.test(`${frames} mutated frames, seed ${seed}`, { timeout: 600_000 }, async (t) => {
  const mesh = await Mesh.start({
    endpoints: [
      { name: 'honest', calls: [target, nonsense] },
      { name: 'server', serves: [target] },
      { name: 'fuzzer', serves: [nonsense], calls: [target] },
    ],
  });
  t.teardown(() => mesh[Symbol.asyncDispose]());
  const connection = await mesh.connect('honest');
  const server = await mesh.connect('server');
  let hanging = 0;
  serve(server, target, {
    echo: ({ text }) => ({ text }),
    async *count({ to }) {
      for (let n = 0; n < Math.min(to, 1_000); n += 1) yield { n };
    },
    hang: (_, { signal }) => {
      hanging += 1;
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          hanging -= 1;
          reject(signal.reason);
        });
      });
    },
  });
  const caller = client(connection, target);
  const doomed = client(connection, nonsense);

  const stop = new AbortController();
  const honest = { calls: 0, slowestMs: 0 };
  const loop = async (call: () => Promise<void>) => {
    while (!stop.signal.aborted) {
      const startMs = performance.now();
      await call();
      honest.calls += 1;
      honest.slowestMs = Math.max(honest.slowestMs, performance.now() - startMs);
    }
  };
  const text = 'an honest text';
  const checkedEcho = async () => {
    const answer = await caller.echo({ text }, { deadlineMs: 20_000 });
    if (answer.text !== text) throw new Error(`${JSON.stringify(answer)} instead of ${text}`);
  };
  const checkedCount = async () => {
    let expected = 0;
    for await (const { n } of caller.count({ to: 300 }, { deadlineMs: 20_000 })) {
      if (n !== expected) throw new Error(`${n} instead of ${expected}`);
      expected += 1;
    }
    if (expected !== 300) throw new Error(`${expected} items instead of 300`);
  };
  const ends = new Map<string, number>();
  const askForNonsense = async () => {
    const code = await doomed.echo({ text }, { deadlineMs: 50 }).then(() => 'an answer', codeOf);
    ends.set(code, (ends.get(code) ?? 0) + 1);
    await new Promise((resolve) => setImmediate(resolve));
  };
  const readNonsense = async () => {
    const read = async () => {
      for await (const _ of doomed.count({ to: 10 }, { deadlineMs: 50 }));
    };
    const code = await read().then(() => 'an end', codeOf);
    ends.set(code, (ends.get(code) ?? 0) + 1);
    await new Promise((resolve) => setImmediate(resolve));
  };

  await Promise.all([checkedEcho(), checkedCount()]);
  const before = await heldBytes();
  const data: FuzzerData = { path: mesh.router.path, name: 'fuzzer', seed, frames };
  const worker = new Worker(new URL('./fixtures/fuzzer.js', import.meta.url), { workerData: data });
  t.teardown(() => worker.terminate());
  const done = new Promise<{ frames: number; connections: number }>((resolve, reject) => {
    worker.on('error', reject);
    worker.on('message', (message: FuzzerMessage) => {
      if (message.kind === 'secret') worker.postMessage(mesh.router.admit('fuzzer'));
      else resolve(message);
    });
  });
  const traffic = Promise.all([
    loop(checkedEcho),
    loop(checkedEcho),
    loop(checkedCount),
    loop(askForNonsense),
    loop(readNonsense),
  ]);
  const { frames: taken, connections } = await Promise.race([done, traffic.then(() => done)]).finally(() => {
    stop.abort();
  });
  await traffic;
  t.ok(taken >= frames, `${taken} frames on ${connections} connections`);
  t.ok(honest.calls > 100, `${honest.calls} honest calls, all of them right`);
  t.ok(honest.slowestMs < 10_000, `the slowest took ${Math.round(honest.slowestMs)} ms`);
  t.pass(`calls to the fuzzer ended with ${[...ends].map(([code, count]) => `${code} ${count}`).join(', ')}`);

  await worker.terminate();
  await checkedEcho();
  await poll(() => (server.incoming.size === 0 ? true : undefined), {
    everyMs: 5,
    timeoutMs: 5_000,
    what: 'the end of its calls at the server',
  });
  t.equal(hanging, 0, 'no handler is left');
  t.equal(connection.outgoing.size, 0, 'none at the caller');
  for (const { name, queuedBytes } of mesh.router.stats())
    t.equal(queuedBytes, 0, `nothing waits for ${name}`);
  const grownMb = ((await heldBytes()) - before) / 2 ** 20;
  t.ok(grownMb < 16, `${grownMb.toFixed(1)} MiB more in memory`);
});
