import { pino } from 'pino';
import t from 'tap';
import { client } from '../../src/ipc/client.js';
import { connect } from '../../src/ipc/connection.js';
import { encode } from '../../src/ipc/codec.js';
import { FrameType, makeFrame, MAX_BODY_BYTES, Offset } from '../../src/ipc/frame.js';
import { serve } from '../../src/ipc/server.js';
import { isHamletError } from '../../src/lib/errors.js';
import { poll } from '../../src/lib/time.js';
import { Mesh, silent } from './fixtures/mesh.js';
import type { RawPeer } from './fixtures/raw-peer.js';
import { main, probe } from './fixtures/services.js';

const nothing = Buffer.alloc(0);

/** A router whose log is kept, the probe thread, and an honest caller. */
async function start() {
  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  const mesh = await Mesh.start({ log });
  const connection = await mesh.connect('main');
  serve(connection, main, { remaining: () => ({ ms: 0 }), note: () => ({}) });
  await mesh.probe().ready;
  return { mesh, connection, lines, caller: client(connection, probe) };
}

function frame(
  type: FrameType,
  destination: number,
  call: number,
  body: Buffer,
  change?: (frame: Buffer) => void,
) {
  const bytes = makeFrame(type, 0, 0, destination, call, body);
  change?.(bytes);
  return bytes;
}

void t.test('whoever breaks the rules is disconnected, and nobody else', async (t) => {
  const { mesh, lines, caller } = await start();
  t.teardown(() => mesh[Symbol.asyncDispose]());
  const hello = (name: string, secret: string) =>
    frame(FrameType.HELLO, 0, 0, encode({ version: 1, name, secret }));
  const request = (change?: (frame: Buffer) => void) =>
    frame(FrameType.REQUEST, 2, 1, encode(['probe.echo', 0, { text: 'x' }]), change);

  const before: Record<string, { bytes: () => Buffer; reason: RegExp }> = {
    'a frame before HELLO': { bytes: request, reason: /a frame before HELLO/ },
    'a wrong secret': { bytes: () => hello('other', 'AAAA'), reason: /do not fit/ },
    'a name nobody has': { bytes: () => hello('nobody', mesh.router.admit('other')), reason: /do not fit/ },
    "another's name": { bytes: () => hello('stranger', mesh.router.admit('other')), reason: /do not fit/ },
    'a HELLO that is none': {
      bytes: () => frame(FrameType.HELLO, 0, 0, encode([1, 2])),
      reason: /malformed/,
    },
    'a HELLO of another version': {
      bytes: () => frame(FrameType.HELLO, 0, 0, encode({ version: 2, name: 'other', secret: '' })),
      reason: /malformed/,
    },
    'a HELLO with more in it': {
      bytes: () => frame(FrameType.HELLO, 0, 0, encode({ version: 1, name: 'other', secret: '', more: 1 })),
      reason: /malformed/,
    },
    'a HELLO that is no msgpack': {
      bytes: () => frame(FrameType.HELLO, 0, 0, Buffer.from([0xc1, 0xff])),
      reason: /malformed/,
    },
    'a huge HELLO': {
      bytes: () =>
        frame(FrameType.HELLO, 0, 0, nothing, (bytes) => bytes.writeUInt32BE(5_000, Offset.LENGTH)),
      reason: /over the limit/,
    },
  };
  for (const [what, { bytes, reason }] of Object.entries(before)) {
    const peer = await mesh.mute();
    peer.socket.write(bytes());
    t.match(
      (await peer.next()).value,
      { code: /INVALID_ARGUMENT|UNAUTHENTICATED/, message: reason },
      `${what}: is told`,
    );
    await peer.closed;
    t.match(lines.pop(), reason, `${what}: is logged`);
    t.equal((await caller.echo({ text: what })).text, what, `${what}: others go on`);
  }

  const after: Record<string, { bytes: () => Buffer; reason: RegExp }> = {
    'a second HELLO': { bytes: () => hello('other', mesh.router.admit('stranger')), reason: /second HELLO/ },
    'an unknown type': {
      bytes: () => request((bytes) => (bytes[Offset.TYPE] = 9)),
      reason: /frame type 9/,
    },
    'a frame over the limit': {
      bytes: () => request((bytes) => bytes.writeUInt32BE(MAX_BODY_BYTES + 1, Offset.LENGTH)),
      reason: /over the limit/,
    },
    'a frame for the router': {
      bytes: () => request((bytes) => bytes.writeUInt16BE(0x100, Offset.DESTINATION)),
      reason: /for the router/,
    },
  };
  for (const [what, { bytes, reason }] of Object.entries(after)) {
    const peer = await mesh.raw('other');
    peer.socket.write(bytes());
    await peer.closed;
    t.match(lines.pop(), reason, `${what}: is logged`);
    t.equal((await caller.echo({ text: what })).text, what, `${what}: others go on`);
  }

  const wrong = { path: mesh.router.path, name: 'other', secret: 'AAAA', log: silent };
  await t.rejects(connect(wrong), { code: 'UNAUTHENTICATED' });
  const nowhere = { ...wrong, path: `${mesh.router.path}.not` };
  await t.rejects(connect(nowhere), { code: 'UNAVAILABLE' });
  await t.rejects(connect({ ...wrong, signal: AbortSignal.abort() }), { code: 'CANCELLED' });

  const secret = mesh.router.admit('other');
  const first = await mesh.mute();
  first.hello('other', secret);
  t.equal((await first.next()).type, FrameType.HELLO);
  const second = await mesh.mute();
  second.hello('other', secret);
  t.match((await second.next()).value, { message: /do not fit/ }, 'a secret lets in once');
  mesh.router.admit('other');
  await first.closed;
  t.pass('a new secret ends what the old one opened');
});

void t.test('whom one may reach', async (t) => {
  const { mesh, caller } = await start();
  t.teardown(() => mesh[Symbol.asyncDispose]());
  const denied = { type: FrameType.ERROR, value: { code: 'PERMISSION_DENIED' } };

  const stranger = await mesh.raw('stranger');
  stranger.send(FrameType.REQUEST, stranger.slot('probe'), 7, ['probe.echo', 0, { text: 'x' }]);
  t.match(await stranger.next(), { ...denied, call: 7, source: stranger.slot('probe') });
  const other = await mesh.raw('other');
  other.send(FrameType.REQUEST, other.slot('main'), 8, ['main.note', 0, { text: 'x' }]);
  t.match(await other.next(), { ...denied, call: 8 }, 'the router asks who may call whom');
  other.send(FrameType.REQUEST, 200, 9, ['nobody', 0, {}]);
  t.match(await other.next(), { call: 9, value: { code: 'UNAVAILABLE' } });

  const forged = frame(FrameType.REQUEST, other.slot('probe'), 10, encode(['probe.echo', 0, { text: 'x' }]));
  forged.writeUInt16BE(0x0101, Offset.SOURCE);
  other.socket.write(forged);
  t.match(
    await other.next(),
    { call: 10, value: { text: 'x', source: 'other' } },
    'the true source is stamped',
  );

  const open = caller.hang({}, { deadlineMs: 300 }).then(
    () => 'answered',
    (error: unknown) => (isHamletError(error) ? error.code : String(error)),
  );
  for (let call = 1; call < 100; call += 1) {
    stranger.send(FrameType.RESPONSE, stranger.slot('main'), call, { forged: true });
    other.send(FrameType.RESPONSE, other.slot('main'), call, { forged: true });
    other.send(FrameType.CANCEL, other.slot('probe'), call);
  }
  t.equal(await open, 'DEADLINE_EXCEEDED', 'an answer counts only from whom was asked');
});

void t.test('requests that are wrong', async (t) => {
  const { mesh, caller } = await start();
  t.teardown(() => mesh[Symbol.asyncDispose]());
  const peer = await mesh.raw('other');
  const to = peer.slot('probe');
  const answers: [unknown, object][] = [
    [['probe.nosuch', 0, {}], { code: 'UNIMPLEMENTED' }],
    [['nosuch.echo', 0, {}], { code: 'UNIMPLEMENTED' }],
    [['probe.echo', 0, { text: 5 }], { code: 'INVALID_ARGUMENT' }],
    [['probe.echo', 0, { text: 'x', more: 1 }], { code: 'INVALID_ARGUMENT', message: /more/ }],
    [['probe.echo', -1, { text: 'x' }], { code: 'INVALID_ARGUMENT' }],
    [['probe.echo', 0, { text: 'x' }, 'more'], { code: 'INVALID_ARGUMENT' }],
    [[5, 0, {}], { code: 'INVALID_ARGUMENT' }],
    ['a string', { code: 'INVALID_ARGUMENT' }],
    [undefined, { code: 'INVALID_ARGUMENT' }],
  ];
  for (const [index, [body, answer]] of answers.entries()) {
    peer.send(FrameType.REQUEST, to, index + 1, body);
    t.match(
      await peer.next(),
      { type: FrameType.ERROR, call: index + 1, value: answer },
      JSON.stringify(body),
    );
  }
  peer.socket.write(frame(FrameType.REQUEST, to, 50, Buffer.from([0xdc, 0xff])));
  t.match(await peer.next(), { call: 50, value: { code: 'INVALID_ARGUMENT' } }, 'no msgpack');

  peer.send(FrameType.REQUEST, to, 60, ['probe.hang', 0, {}]);
  peer.send(FrameType.REQUEST, to, 60, ['probe.hang', 0, {}]);
  for (const credit of [undefined, -5, 'much', 1.5]) peer.send(FrameType.CREDIT, to, 60, credit);
  peer.socket.write(frame(FrameType.CREDIT, to, 60, Buffer.from([0xdc, 0xff])));
  peer.send(FrameType.CREDIT, to, 61, 1_000);
  peer.send(FrameType.CANCEL, to, 61);
  peer.send(FrameType.CANCEL, to, 60);
  await poll(async () => ((await caller.ended({})).open === 0 ? true : undefined), {
    everyMs: 5,
    timeoutMs: 5_000,
    what: 'the end of the call',
  });
  t.equal((await caller.ended({})).hang, 1, 'a second request for one call is not carried out');
  t.same(peer.takeAll(), [], 'and nothing is answered to what was cancelled');
});

void t.test('answers that are wrong', async (t) => {
  const mesh = await Mesh.start();
  t.teardown(() => mesh[Symbol.asyncDispose]());
  const connection = await mesh.connect('main');
  const caller = client(connection, probe);
  const server = await mesh.raw('probe');
  const to = server.slot('main');
  /** The call of the next request, past the CANCELs and CREDITs of former ones. */
  const requested = async () => {
    for (;;) {
      const { type, call } = await server.next();
      if (type === FrameType.REQUEST) return call;
    }
  };
  /** Makes a call, has the server answer it, and gives the code of the error it ends with. */
  const codeOf = async (call: () => Promise<unknown>, answer: (id: number, server: RawPeer) => void) => {
    const done = call().then(
      () => 'OK',
      (error: unknown) => (isHamletError(error) ? error.code : String(error)),
    );
    answer(await requested(), server);
    const code = await done;
    t.equal(connection.outgoing.size, 0);
    return code;
  };
  const echo = () => caller.echo({ text: 'x' });
  const read = async () => {
    for await (const _ of caller.numbers({}));
  };
  const chunk = (type: FrameType, id: number, rest: number, bytes: number) =>
    frame(type, to, id, Buffer.alloc(bytes), (header) => header.writeUInt16BE(rest, Offset.REST));

  const answer = { text: 'x', source: '' };
  t.equal(await codeOf(echo, (id) => server.send(FrameType.RESPONSE, to, id, answer)), 'OK');
  const garbage = (type: FrameType) => (id: number) => {
    server.socket.write(frame(type, to, id, Buffer.from([0xdc, 0xff])));
  };
  t.equal(await codeOf(echo, garbage(FrameType.RESPONSE)), 'INTERNAL', 'an answer that is no msgpack');
  t.equal(await codeOf(echo, garbage(FrameType.ERROR)), 'INTERNAL', 'an error that is no msgpack');
  t.equal(await codeOf(read, garbage(FrameType.ITEM)), 'INTERNAL', 'an item that is no msgpack');
  const unknown = (id: number) =>
    server.send(FrameType.ERROR, to, id, { code: 'ODD', message: 5, details: 'no' });
  t.equal(await codeOf(echo, unknown), 'UNKNOWN', 'a code that nobody knows');
  t.equal(
    await codeOf(echo, (id) => server.send(FrameType.END, to, id)),
    'INTERNAL',
    'an end for a unary call',
  );
  t.equal(await codeOf(echo, (id) => server.send(FrameType.ITEM, to, id, 1)), 'INTERNAL', 'an item for one');
  t.equal(await codeOf(read, (id) => server.send(FrameType.RESPONSE, to, id, 1)), 'INTERNAL', 'the reverse');
  const huge = (id: number) => server.socket.write(chunk(FrameType.RESPONSE, id, 65_535, 100));
  t.equal(await codeOf(echo, huge), 'RESOURCE_EXHAUSTED', 'an answer that says it will be huge');
  const many = (id: number) => {
    for (let index = 0; index < 4; index += 1)
      server.socket.write(chunk(FrameType.RESPONSE, id, 1, 64 * 1024));
  };
  t.equal(await codeOf(echo, many), 'INTERNAL', 'more chunks than were announced');
  const flood = (id: number) => {
    for (let index = 0; index < 100; index += 1) server.socket.write(chunk(FrameType.ITEM, id, 0, 16 * 1024));
  };
  const idle = async () => {
    const stream = caller.numbers({})[Symbol.asyncIterator]();
    await stream.next();
    await poll(() => (connection.outgoing.size === 0 ? true : undefined), {
      everyMs: 5,
      timeoutMs: 5_000,
      what: 'the end of the flood',
    });
    for (;;) if ((await stream.next()).done === true) return;
  };
  t.equal(await codeOf(idle, flood), 'RESOURCE_EXHAUSTED', 'items without credit');

  const twice = echo();
  const call = await requested();
  server.send(FrameType.RESPONSE, to, call, answer);
  server.send(FrameType.RESPONSE, to, call, { text: 'again', source: '' });
  server.send(FrameType.RESPONSE, to, call + 1, { text: 'early', source: '' });
  t.same(await twice, answer, 'the first answer counts');
  const late = echo();
  t.equal(await requested(), call + 1);
  server.send(FrameType.RESPONSE, to, call + 1, { text: 'right', source: '' });
  t.equal((await late).text, 'right', 'and one that came before its question does not');

  const lost = echo();
  await requested();
  server.destroy();
  await t.rejects(lost, { code: 'UNAVAILABLE' });
});

void t.test('an answer for a caller that has died does not reach its successor', async (t) => {
  const mesh = await Mesh.start();
  t.teardown(() => mesh[Symbol.asyncDispose]());
  const server = await mesh.raw('probe');
  const first = await mesh.raw('main');
  const request = ['probe.echo', 0, { text: 'x' }];
  first.send(FrameType.REQUEST, first.slot('probe'), 1, request);
  const { source: before } = await server.next();
  first.destroy();
  t.match(await server.next(), {
    type: FrameType.ERROR,
    call: 0,
    source: before,
    value: { code: 'UNAVAILABLE' },
  });

  const second = await mesh.raw('main');
  second.send(FrameType.REQUEST, second.slot('probe'), 1, request);
  const { source: now } = await server.next();
  t.not(now, before, 'each connection has an address of its own');
  server.send(FrameType.RESPONSE, before, 1, 'for the first');
  server.send(FrameType.RESPONSE, now, 1, 'for the second');
  t.match(await second.next(), { call: 1, value: 'for the second' });
});
