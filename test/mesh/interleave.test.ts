import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import t from 'tap';
import * as v from 'valibot';
import { codeOf } from '../../src/lib/errors.js';
import { poll } from '../../src/lib/time.js';
import { client } from '../../src/ipc/client.js';
import type { Connection } from '../../src/ipc/connection.js';
import { service, stream, unary } from '../../src/ipc/contract.js';
import { serve } from '../../src/ipc/server.js';
import { Mesh } from './fixtures/mesh.js';

const names = ['a', 'b', 'c'] as const;
type Name = (typeof names)[number];

/** The same service three times, so that every endpoint is a caller and a server. */
const declare = (name: Name) =>
  service(name, {
    echo: unary(v.strictObject({ nonce: v.number(), turns: v.number(), bytes: v.number() }), v.unknown()),
    count: stream(
      v.strictObject({ nonce: v.number(), turns: v.number(), bytes: v.number(), items: v.number() }),
      v.strictObject({ nonce: v.number(), n: v.number(), pad: v.instance(Uint8Array<ArrayBufferLike>) }),
    ),
  });
const services = { a: declare('a'), b: declare('b'), c: declare('c') };

const endpoints = names.map((name) => ({
  name,
  serves: [services[name]],
  calls: names.filter((other) => other !== name).map((other) => services[other]),
}));

/** How the caller ends a call, if it does not wait for its end. */
type Ending =
  | { readonly kind: 'wait' }
  | { readonly kind: 'cancel'; readonly afterTurns: number }
  | { readonly kind: 'deadline'; readonly ms: number }
  | { readonly kind: 'leave'; readonly afterItems: number };

type Step =
  | {
      readonly kind: 'call';
      readonly from: number;
      readonly to: number;
      readonly items: number | undefined;
      readonly turns: number;
      readonly bytes: number;
      readonly slow: boolean;
      readonly ending: Ending;
    }
  | { readonly kind: 'death'; readonly of: number }
  | { readonly kind: 'pause'; readonly turns: number };

const turns = fc.nat(5);
const ending: fc.Arbitrary<Ending> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cancel' as const), afterTurns: turns }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('deadline' as const), ms: fc.integer({ min: 1, max: 5 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave' as const), afterItems: fc.nat(20) }) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      kind: fc.constant('call' as const),
      from: fc.nat(2),
      to: fc.integer({ min: 1, max: 2 }),
      items: fc.option(fc.nat(60), { nil: undefined }),
      turns,
      bytes: fc.oneof(fc.nat(100), fc.constantFrom(10_000, 70_000, 300_000)),
      slow: fc.boolean(),
      ending,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('death' as const), of: fc.nat(2) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('pause' as const), turns }) },
);

const allowed = new Set(['UNAVAILABLE', 'CANCELLED', 'DEADLINE_EXCEEDED']);

/** Three endpoints and what they have done. */
class World {
  readonly mesh: Mesh;
  readonly connections = new Map<Name, Connection>();
  readonly handled = new Map<number, number>();
  running = 0;
  #nonce = 0;

  constructor(mesh: Mesh) {
    this.mesh = mesh;
  }

  async join(name: Name): Promise<void> {
    const connection = await this.mesh.connect(name);
    const note = (nonce: number) => this.handled.set(nonce, (this.handled.get(nonce) ?? 0) + 1);
    serve(connection, services[name], {
      echo: async ({ nonce, turns, bytes }) => {
        note(nonce);
        for (let count = 0; count < turns; count += 1) await turn();
        return { nonce, pad: Buffer.alloc(bytes, nonce & 0xff) };
      },
      count: (request) => this.#count(request, note),
    });
    this.connections.set(name, connection);
  }

  async *#count(
    { nonce, turns, bytes, items }: { nonce: number; turns: number; bytes: number; items: number },
    note: (nonce: number) => void,
  ) {
    note(nonce);
    this.running += 1;
    try {
      for (let n = 0; n < items; n += 1) {
        if (n % 7 === 0) for (let count = 0; count < turns; count += 1) await turn();
        yield { nonce, n, pad: Buffer.alloc(bytes % 20_000, nonce & 0xff) };
      }
    } finally {
      this.running -= 1;
    }
  }

  async die(name: Name): Promise<void> {
    this.mesh.router.disconnect(name, 'the test says so');
    await this.join(name);
  }

  async call(step: Step & { kind: 'call' }): Promise<void> {
    const from = names[step.from] ?? 'a';
    const to = names[(step.from + step.to) % names.length] ?? 'a';
    const connection = this.connections.get(from);
    assert(connection !== undefined);
    const nonce = (this.#nonce += 1);
    const { turns, bytes, items, ending } = step;
    const controller = new AbortController();
    const options = {
      deadlineMs: ending.kind === 'deadline' ? ending.ms : 20_000,
      signal: controller.signal,
    };
    if (ending.kind === 'cancel') void after(ending.afterTurns, () => controller.abort());
    const caller = client(connection, services[to]);
    try {
      if (items === undefined) {
        const { nonce: got, pad } = (await caller.echo({ nonce, turns, bytes }, options)) as {
          nonce: number;
          pad: Buffer;
        };
        assert.equal(got, nonce, 'a reply of another call');
        assert.equal(pad.length, bytes);
        assert(pad.every((byte) => byte === (nonce & 0xff)));
        return;
      }
      let expected = 0;
      for await (const item of caller.count({ nonce, turns, bytes, items }, options)) {
        assert.equal(item.nonce, nonce, 'an item of another call');
        assert.equal(item.n, expected, 'items out of order');
        expected += 1;
        if (step.slow) await turn();
        if (ending.kind === 'leave' && expected > ending.afterItems) return;
      }
      assert.equal(expected, items, 'a stream that ended early');
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      assert(allowed.has(codeOf(error)), String(error));
    }
  }

  /** Nothing is left of any call. */
  async rest(): Promise<void> {
    await poll(() => (this.open() === 0 ? true : undefined), {
      everyMs: 1,
      timeoutMs: 10_000,
      what: `rest; ${this.open()} open`,
    });
    for (const { queuedBytes } of this.mesh.router.stats()) assert.equal(queuedBytes, 0);
    for (const [nonce, times] of this.handled)
      assert.equal(times, 1, `call ${nonce} was carried out ${times} times`);
    this.handled.clear();
  }

  open(): number {
    let open = this.running;
    for (const { outgoing, incoming } of this.connections.values()) open += outgoing.size + incoming.size;
    return open;
  }
}

async function after(turns: number, action: () => void): Promise<void> {
  for (let count = 0; count < turns; count += 1) await turn();
  action();
}

void t.test('arbitrary interleavings of calls, streams, cancels and deaths', async (t) => {
  const before = process.getActiveResourcesInfo().length;
  const mesh = await Mesh.start({ endpoints });
  const world = new World(mesh);
  for (const name of names) await world.join(name);
  let calls = 0;
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
        const running: Promise<void>[] = [];
        for (const step of steps) {
          switch (step.kind) {
            case 'call':
              calls += 1;
              running.push(world.call(step));
              break;
            case 'death':
              await world.die(names[step.of] ?? 'a');
              break;
            case 'pause':
              await after(step.turns, () => undefined);
              break;
            default:
              step satisfies never;
          }
        }
        await Promise.all(running);
        await world.rest();
      }),
      { numRuns: Number(process.env.MESH_RUNS ?? 150), endOnFailure: true },
    );
  } finally {
    await mesh[Symbol.asyncDispose]();
  }
  t.ok(calls > 1_000, `${calls} calls`);
  await poll(() => (process.getActiveResourcesInfo().length <= before ? true : undefined), {
    everyMs: 20,
    timeoutMs: 5_000,
    what: 'the end of every handle',
  });
  t.pass('no handle is left');
});
