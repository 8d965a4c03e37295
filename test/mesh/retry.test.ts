import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import * as v from 'valibot';
import { HamletError } from '../../src/lib/errors.js';
import { poll } from '../../src/lib/time.js';
import { client, resume } from '../../src/ipc/client.js';
import type { Connection } from '../../src/ipc/connection.js';
import { type Handlers, service, stream, unary } from '../../src/ipc/contract.js';
import { serve } from '../../src/ipc/server.js';
import { Mesh } from './fixtures/mesh.js';

const Range = v.strictObject({ from: v.number(), to: v.number() });
const work = service('work', {
  once: unary(v.strictObject({}), v.strictObject({ life: v.number() })),
  again: unary(v.strictObject({}), v.strictObject({ life: v.number() }), {
    idempotent: true,
    deadlineMs: 5_000,
  }),
  refuse: unary(v.strictObject({}), v.strictObject({}), { idempotent: true }),
  numbers: stream(Range, v.strictObject({ n: v.number() })),
  numbersAgain: stream(Range, v.strictObject({ n: v.number() }), { idempotent: true }),
});
const endpoints = [
  { name: 'caller', calls: [work] },
  { name: 'worker', serves: [work] },
];

/** A worker that can die and come back, and says in which of its lives it answers. */
class Worker {
  life = 0;
  refusals = 0;
  readonly #mesh: Mesh;
  #connection: Connection | undefined;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  async start(): Promise<void> {
    this.life += 1;
    const { life } = this;
    const die = () => this.die();
    async function* numbers({ from, to }: v.InferOutput<typeof Range>) {
      for (let n = from; n < to; n += 1) {
        yield { n };
        // The first lives end in the middle of the stream.
        if (life < 4 && n === life * 100) die();
      }
    }
    const handlers: Handlers<typeof work> = {
      once: () => ({ life }),
      again: () => ({ life }),
      refuse: () => {
        this.refusals += 1;
        throw new HamletError('UNAVAILABLE', 'not yet', { details: { waitsFor: 'etcd' } });
      },
      numbers,
      numbersAgain: numbers,
    };
    this.#connection = await this.#mesh.connect('worker');
    serve(this.#connection, work, handlers);
  }

  die(): void {
    this.#connection?.destroy(new HamletError('UNAVAILABLE', 'the test says so'));
  }
}

async function begin(): Promise<{ mesh: Mesh; worker: Worker; connection: Connection }> {
  const mesh = await Mesh.start({ endpoints });
  return { mesh, worker: new Worker(mesh), connection: await mesh.connect('caller') };
}

void t.test('idempotent calls are tried until their deadline, others are not', async (t) => {
  const { mesh, worker, connection } = await begin();
  t.teardown(() => mesh[Symbol.asyncDispose]());
  const caller = client(connection, work);

  const startMs = performance.now();
  await t.rejects(caller.once({}), { code: 'UNAVAILABLE', message: /worker is not there/ });
  t.ok(performance.now() - startMs < 1_000, 'at once');
  await t.rejects(caller.again({}, { deadlineMs: 300 }), { code: 'UNAVAILABLE' });
  const waiting = caller.again({});
  const stream = caller.numbersAgain({ from: 500, to: 502 })[Symbol.asyncIterator]();
  const first = stream.next();
  const aborted = new AbortController();
  const given = caller.again({}, { signal: aborted.signal });
  await turn();
  aborted.abort();
  await t.rejects(given, { code: 'CANCELLED' });
  await worker.start();
  t.same(await waiting, { life: 1 });
  t.same(
    await first,
    { done: false, value: { n: 500 } },
    'a stream waits for its first item in the same way',
  );

  await t.rejects(caller.refuse({}), {
    code: 'UNAVAILABLE',
    message: 'not yet',
    details: { waitsFor: 'etcd' },
  });
  t.equal(worker.refusals, 1, "a handler's own UNAVAILABLE is passed on");
});

void t.test('a stream that carries a position is read on across deaths', async (t) => {
  const { mesh, worker, connection } = await begin();
  t.teardown(() => mesh[Symbol.asyncDispose]());
  const caller = client(connection, work);
  await worker.start();
  const restarts = (async () => {
    const gone = () => mesh.router.stats().some(({ name, connected }) => name === 'worker' && !connected);
    while (worker.life < 4) {
      await poll(() => (gone() ? true : undefined), { everyMs: 1, timeoutMs: 10_000, what: 'a death' });
      await worker.start();
    }
  })();
  const got: number[] = [];
  const open = (last: { n: number } | undefined) => caller.numbers({ from: (last?.n ?? -1) + 1, to: 1_000 });
  for await (const { n } of resume(open, AbortSignal.timeout(20_000))) got.push(n);
  await restarts;
  t.same(got, [...Array(1_000).keys()], 'every number once, in order');
  t.equal(worker.life, 4);

  worker.die();
  const controller = new AbortController();
  const endless = (async () => {
    for await (const _ of resume(open, controller.signal));
  })();
  await turn();
  controller.abort(new HamletError('CANCELLED', 'enough'));
  await t.rejects(endless, { message: 'enough' });
});
