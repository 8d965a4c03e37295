import t from 'tap';
import { codeOf } from '../../src/lib/errors.js';
import { poll } from '../../src/lib/time.js';
import { QUEUE_LIMITS } from '../../src/host/outbox.js';
import { client } from '../../src/ipc/client.js';
import { FrameType } from '../../src/ipc/frame.js';
import { serve } from '../../src/ipc/server.js';
import { Mesh } from './fixtures/mesh.js';
import { main, probe } from './fixtures/services.js';

const endpoints = [
  { name: 'main', serves: [main], calls: [probe] },
  { name: 'probe', serves: [probe] },
  { name: 'other', calls: [main, probe] },
];

const until = <T>(what: string, probe: () => T | undefined) =>
  poll(probe, { everyMs: 5, timeoutMs: 20_000, what });

void t.test('a destination that does not read', async (t) => {
  const mesh = await Mesh.start({ endpoints });
  t.teardown(() => mesh[Symbol.asyncDispose]());
  const connection = await mesh.connect('main');
  serve(connection, main, { note: () => ({}), remaining: () => ({ ms: 0 }) });
  const caller = client(connection, probe);
  const stuck = await mesh.raw('probe');
  stuck.socket.pause();

  const codes = new Map<string, number>();
  const note = (code: string) => codes.set(code, (codes.get(code) ?? 0) + 1);
  const text = 'x'.repeat(900);
  const count = 20_000;
  const calls = Array.from({ length: count }, () =>
    caller.echo({ text }, { deadlineMs: 60_000 }).then(
      () => note('OK'),
      (error: unknown) => note(codeOf(error)),
    ),
  );
  const refused = await until('a refusal', () => codes.get('RESOURCE_EXHAUSTED'));
  const queue = () => mesh.router.stats().find(({ name }) => name === 'probe');
  t.ok(refused > 0, 'who calls it is refused once the queue is full');
  t.ok((queue()?.queuedFrames ?? Infinity) <= QUEUE_LIMITS.requests.frames, 'the queue is bounded by frames');
  t.ok((queue()?.queuedBytes ?? Infinity) <= QUEUE_LIMITS.requests.bytes + 300_000, 'and by bytes');

  const other = client(await mesh.connect('other'), main);
  for (let index = 0; index < 500; index += 1) await other.note({ text: 'beside it' }, { deadlineMs: 1_000 });
  t.pass('others are served meanwhile');

  // It wakes up, and answers what has reached it.
  let answered = 0;
  const answer = async () => {
    for (;;) {
      const { type, call } = await stuck.next();
      if (type !== FrameType.REQUEST) continue;
      answered += 1;
      stuck.send(FrameType.RESPONSE, stuck.slot('main'), call, { text: '', source: '' });
    }
  };
  void answer();
  stuck.socket.resume();
  await Promise.all(calls);
  t.equal(codes.get('OK'), answered, 'what was taken is answered');
  t.equal(answered + (codes.get('RESOURCE_EXHAUSTED') ?? 0), count, 'and every call has ended');
  t.equal(queue()?.queuedBytes, 0);
  t.equal((await caller.echo({ text: 'again' })).text, '', 'it can be called again');
});

void t.test('a caller that does not read its answers', async (t) => {
  const mesh = await Mesh.start({ endpoints });
  t.teardown(() => mesh[Symbol.asyncDispose]());
  await mesh.probe().ready.catch(() => undefined);
  const honest = client(await mesh.connect('main'), probe);
  const lazy = await mesh.raw('other');
  const to = lazy.slot('probe');
  const queue = () => mesh.router.stats().find(({ name }) => name === 'other')?.queuedBytes ?? 0;

  lazy.socket.pause();
  const bytes = 60_000;
  // More than the router keeps for it.
  const count = Math.ceil((QUEUE_LIMITS.others.bytes * 1.5) / bytes);
  for (let call = 1; call <= count; call += 1)
    lazy.send(FrameType.REQUEST, to, call, ['probe.bytes', 0, { count: bytes }]);
  await until('the limit', () => (queue() > QUEUE_LIMITS.others.bytes * 0.9 ? true : undefined));
  for (let index = 0; index < 100; index += 1)
    await honest.echo({ text: 'beside it' }, { deadlineMs: 2_000 });
  t.pass('others are served meanwhile');
  t.ok(queue() <= QUEUE_LIMITS.others.bytes + 300_000, 'what waits for it is bounded');

  lazy.socket.resume();
  let answers = 0;
  for (;;) {
    const { type, call, value } = await lazy.next();
    if (type === FrameType.RESPONSE) answers += 1;
    if (type !== FrameType.ERROR) continue;
    t.equal(call, 0, 'then it is told that all its calls to that worker are over');
    t.match(value, { code: 'RESOURCE_EXHAUSTED' });
    break;
  }
  t.ok(answers > 100 && answers < count, `${answers} answers of ${count} have come`);
  await until('the end of the queue', () => (queue() === 0 ? true : undefined));
  lazy.takeAll();
  lazy.send(FrameType.REQUEST, to, count + 1, ['probe.echo', 0, { text: 'again' }]);
  for (;;) {
    const { call, value } = await lazy.next();
    if (call === 0 || call <= count) continue;
    t.match(value, { text: 'again' }, 'it can call again');
    break;
  }
});

void t.test('a peer that sends without ever reading is disconnected', async (t) => {
  const mesh = await Mesh.start({ endpoints });
  t.teardown(() => mesh[Symbol.asyncDispose]());
  const peer = await mesh.raw('other');
  peer.socket.pause();
  // Nobody is there to take these, so each is answered by the router.
  let call = 0;
  const flood = () => {
    while (
      !peer.socket.destroyed &&
      peer.send(FrameType.REQUEST, peer.slot('probe'), (call += 1), ['probe.echo', 0, {}])
    );
  };
  peer.socket.on('drain', flood);
  flood();
  const stats = () => mesh.router.stats().find(({ name }) => name === 'other');
  await until('its end', () => (stats()?.connected === false ? true : undefined));
  t.equal(stats()?.queuedBytes, 0);
});

void t.test('a slow reader stops its writer, and nobody else', async (t) => {
  const mesh = await Mesh.start({ endpoints });
  t.teardown(() => mesh[Symbol.asyncDispose]());
  const connection = await mesh.connect('main');
  let made = 0;
  const numbers = (count: number) => ({ n: count, pad: Buffer.alloc(1_000) });
  const server = await mesh.connect('probe');
  const unused = () => {
    throw new Error('not called');
  };
  serve(server, probe, {
    echo: ({ text }, { source }) => ({ text, source }),
    echoAgain: unused,
    bytes: unused,
    async *numbers() {
      for (;;) yield numbers((made += 1));
    },
    hang: unused,
    ended: unused,
    fail: unused,
    remaining: unused,
    block: unused,
    openFifo: unused,
    die: unused,
  });
  const caller = client(connection, probe);
  const slow = caller.numbers({})[Symbol.asyncIterator]();
  await slow.next();
  for (let round = 0; round < 200; round += 1) await caller.echo({ text: 'beside it' });
  const first = made;
  t.ok(first < 300, `${first} items of 1,000 bytes were made, and then no more`);
  for (let round = 0; round < 200; round += 1) await caller.echo({ text: 'beside it' });
  t.equal(made, first, 'the writer stands still');
  for (let index = 0; index < 1_000; index += 1) await slow.next();
  t.ok(made >= 1_000, 'and goes on when it is read');
  await slow.return?.();
  await until('the end', () => (server.incoming.size === 0 ? true : undefined));
});
