import t from 'tap';
import { isHamletError, type HamletError } from '../../src/lib/errors.js';
import { poll } from '../../src/lib/time.js';
import { client } from '../../src/ipc/client.js';
import { deadlineOf } from '../../src/ipc/deadline.js';
import { serve } from '../../src/ipc/server.js';
import { Mesh } from './fixtures/mesh.js';
import { main, probe, secret } from './fixtures/services.js';

async function start() {
  const mesh = await Mesh.start();
  const connection = await mesh.connect('main');
  const notes: string[] = [];
  serve(connection, main, {
    remaining: (_, { signal }) => ({ ms: deadlineOf(signal) - performance.now() }),
    note: ({ text }) => {
      notes.push(text);
      return {};
    },
  });
  const thread = mesh.probe();
  await thread.ready;
  return { mesh, connection, thread, notes, caller: client(connection, probe) };
}

async function failure(promise: Promise<unknown>): Promise<HamletError> {
  try {
    await promise;
  } catch (error) {
    if (isHamletError(error)) return error;
    throw error;
  }
  throw new Error('the call should have failed');
}

void t.test('unary calls', async (t) => {
  const { mesh, caller, connection } = await start();
  t.teardown(() => mesh[Symbol.asyncDispose]());

  t.same(await caller.echo({ text: 'hello' }), { text: 'hello', source: 'main' });
  const texts = Array.from({ length: 2_000 }, (_, index) => `text ${index}`);
  const answers = await Promise.all(texts.map((text) => caller.echo({ text })));
  t.same(
    answers.map(({ text }) => text),
    texts,
    'each reply reaches its call',
  );

  for (const count of [0, 1, 65_519, 65_520, 65_521, 131_040, 5_000_001]) {
    const bytes = await caller.bytes({ count });
    t.equal(bytes.length, count);
    t.ok(
      bytes.every((byte, index) => byte === (index & 0xff)),
      `an answer of ${count} bytes is whole`,
    );
  }

  const asked = await failure(caller.fail({ code: 'NOT_FOUND' }));
  t.same([asked.code, asked.message, asked.details], ['NOT_FOUND', 'as asked', { answer: 42 }]);
  const thrown = await failure(caller.fail({}));
  t.same([thrown.code, thrown.message], ['INTERNAL', 'something unexpected']);
  const wrong = await failure(caller.echo({ text: 'a', more: 1 } as { text: string }));
  t.equal(wrong.code, 'INVALID_ARGUMENT');
  t.match(wrong.message, /more/);
  const large = await failure(caller.echo({ text: 'x'.repeat(1024 * 1024 + 1) }));
  t.equal(large.code, 'INVALID_ARGUMENT');
  const forbidden = await failure(client(connection, secret).read({}));
  t.equal(forbidden.code, 'PERMISSION_DENIED');

  const late = await failure(caller.hang({}, { deadlineMs: 20 }));
  t.equal(late.code, 'DEADLINE_EXCEEDED');
  const controller = new AbortController();
  const given = failure(caller.hang({}, { signal: controller.signal }));
  setImmediate(() => controller.abort());
  t.equal((await given).code, 'CANCELLED');
  t.equal((await failure(caller.hang({}, { signal: controller.signal }))).code, 'CANCELLED');
  const { hang, open } = await caller.ended({});
  t.equal(hang, 2, 'both handlers have seen their signal');
  t.equal(open, 0, 'no call is left open');
  t.equal(connection.outgoing.size, 0);

  const { hops } = await caller.remaining({}, { deadlineMs: 2_000 });
  const [first = 0, second = 0] = hops;
  t.ok(first <= 2_000 && second <= first && second > 500, `what remains goes down: ${hops.join(', ')} ms`);
  const [long = 0] = (await caller.remaining({}, { deadlineMs: 1e11 })).hops;
  t.ok(long > 9e10, 'a deadline may be further away than a timer can wait');
});

void t.test('streams', async (t) => {
  const { mesh, caller, connection } = await start();
  t.teardown(() => mesh[Symbol.asyncDispose]());

  let expected = 0;
  for await (const { n } of caller.numbers({ count: 50_000 })) {
    if (n !== expected) t.fail(`item ${n} instead of ${expected}`);
    expected += 1;
  }
  t.equal(expected, 50_000, 'every item, in order');
  for await (const { pad } of caller.numbers({ count: 3, padBytes: 300_000 })) t.equal(pad.length, 300_000);
  for await (const _ of caller.numbers({ count: 0 })) t.fail('an item of an empty stream');

  for await (const { n } of caller.numbers({})) if (n === 10) break;
  const controller = new AbortController();
  const aborted = await failure(
    (async () => {
      for await (const { n } of caller.numbers({}, { signal: controller.signal }))
        if (n === 10) controller.abort();
    })(),
  );
  t.equal(aborted.code, 'CANCELLED');
  const late = await failure(
    (async () => {
      for await (const _ of caller.numbers({}, { deadlineMs: 20 }));
    })(),
  );
  t.equal(late.code, 'DEADLINE_EXCEEDED');
  await caller.echo({ text: 'one round trip' });
  const { numbers, open } = await caller.ended({});
  t.equal(numbers, 6, 'every generator has ended');
  t.equal(open, 0, 'no call is left open');

  const slow = caller.numbers({ padBytes: 1_000 })[Symbol.asyncIterator]();
  await slow.next();
  for (let round = 0; round < 100; round += 1) await caller.echo({ text: 'beside it' });
  t.ok(mesh.router.stats().every(({ queuedBytes }) => queuedBytes === 0));
  await slow.return?.();
  t.equal(connection.outgoing.size, 0);
});

void t.test('death and restart', async (t) => {
  const { mesh, caller, thread } = await start();
  t.teardown(() => mesh[Symbol.asyncDispose]());

  const open = failure(caller.hang({}));
  const stream = failure(
    (async () => {
      for await (const _ of caller.numbers({ padBytes: 1_000 }));
    })(),
  );
  await caller.echo({ text: 'all are under way' });
  await thread.terminate();
  t.equal((await open).code, 'UNAVAILABLE');
  t.equal((await stream).code, 'UNAVAILABLE');
  t.equal((await failure(caller.echo({ text: 'nobody' }))).code, 'UNAVAILABLE');

  const again = caller.echoAgain({ text: 'patient' });
  const next = mesh.probe({ setupMs: 50 });
  t.same(await again, { text: 'patient' }, 'an idempotent call is tried until the worker is back');
  await next.ready;
  t.same(await caller.echo({ text: 'back' }), { text: 'back', source: 'main' });
});

void t.test('how a thread ends', async (t) => {
  const { mesh, caller, thread, notes } = await start();
  t.teardown(() => mesh[Symbol.asyncDispose]());
  t.same(await thread.stop(5_000), { kind: 'stopped' });
  t.same(notes, ['stopped'], 'the cleanup has run, with the mesh still there');

  for (const [how, match] of [
    ['throw', { kind: 'crashed', error: { message: 'thrown on purpose', stack: /probe-worker/ } }],
    ['reject', { kind: 'crashed', error: { message: 'rejected on purpose' } }],
    ['exit', { kind: 'crashed', exitCode: 3 }],
    ['memory', { kind: 'out-of-memory' }],
  ] as const) {
    const events: string[] = [];
    const victim = mesh.probe(
      {},
      {
        resourceLimits: { maxOldGenerationSizeMb: 32 },
        onEvent: (event) => events.push(event.kind),
      },
    );
    await victim.ready;
    t.equal((await failure(caller.die({ how }))).code, 'UNAVAILABLE', `${how}: the caller hears of it`);
    t.match(await victim.exited, match, how);
    t.same(events, ['ready', 'exit']);
  }

  const broken = mesh.probe({ failSetup: true });
  t.match(await broken.exited, { kind: 'crashed', error: { message: 'the setup has failed' } });
  await t.rejects(broken.ready);

  const kinds: string[] = [];
  const busy = mesh.probe({}, { stuckAfterMs: 1_000, onEvent: (event) => kinds.push(event.kind) });
  await busy.ready;
  await caller.block({ forMs: 2_500 });
  await poll(() => kinds.includes('recovered') || undefined, {
    everyMs: 20,
    timeoutMs: 5_000,
    what: 'recovered',
  });
  t.same(kinds, ['ready', 'stuck', 'recovered']);
  const blocked = failure(caller.block({ forMs: 60_000 }));
  t.same(await busy.stop(200), { kind: 'terminated' }, 'a worker that does not stop is ended');
  t.equal((await blocked).code, 'UNAVAILABLE');
});
