import { once } from 'node:events';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { nodeDebugService } from '../../src/gen/hamlet/debug/v1/debug.js';
import { poll } from '../../src/lib/time.js';
import { limits } from '../../src/workers/debug/limits.js';
import { doors } from './debug-doors.js';
import { dbg, newPki, startRemote, type Remote } from './debug-remote-fixture.js';

t.setTimeout(180_000);

/** DEBUG_FUZZ_RUNS makes it longer, DEBUG_FUZZ_SEED repeats a run. */
const numRuns = Number(process.env.DEBUG_FUZZ_RUNS ?? 80);
const seed = Number(process.env.DEBUG_FUZZ_SEED ?? Date.now() % 1_000_000);
/** Nobody has to answer rubbish: so long it may take to be looked at. */
const patienceMs = 100;

const pki = await newPki();

/** Each listener, and the one for other machines once more, before the handshake. */
function ways(remote: Remote): Readonly<Record<string, () => Socket>> {
  return {
    ...Object.fromEntries(doors(remote).map(({ name, open }) => [name, open])),
    'mutual TLS before its handshake': () => connectTcp({ host: '127.0.0.1', port: remote.port }),
  };
}

/** Writes, looks what comes for a moment, and hangs up. */
async function say(socket: Socket, bytes: Uint8Array): Promise<void> {
  socket.on('error', () => undefined).resume();
  socket.write(bytes);
  await Promise.race([
    new Promise((resolve) => socket.once('close', resolve)),
    new Promise((resolve) => setTimeout(resolve, patienceMs)),
  ]);
  socket.destroy();
}

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** RFC 9113, 4.1: length, type, flags, stream. */
const frame = fc
  .record({
    type: fc.integer({ min: 0, max: 12 }),
    flags: fc.constantFrom(0, 1, 4, 5, 0x2d, 0xff),
    stream: fc.constantFrom(0, 1, 2, 3, 0x7fffffff),
    payload: fc.uint8Array({ maxLength: 64 }),
    length: fc.option(fc.integer({ min: 0, max: 0xff_ffff }), { freq: 8, nil: undefined }),
  })
  .map(({ type, flags, stream, payload, length = payload.length }) => {
    const header = Buffer.alloc(9);
    header.writeUIntBE(length, 0, 3);
    header.writeUInt8(type, 3);
    header.writeUInt8(flags, 4);
    header.writeUInt32BE(stream, 5);
    return Buffer.concat([header, payload]);
  });

/** Bytes of any kind, frames in any order, the beginning of a TLS handshake that goes on in any way. */
const rubbish = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 2_048 }),
  fc.array(frame, { maxLength: 20 }).map((frames) => Buffer.concat([preface, ...frames])),
  fc
    .uint8Array({ maxLength: 512 })
    .map((rest) => Buffer.concat([Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), rest])),
);

/** Asks at each listener, until it is not one connection too many: those with the rubbish were counted, too. */
async function answers({ node, port, admin }: Remote): Promise<object[]> {
  const look = async (endpoint: string, options?: Parameters<typeof dbg>[2]): Promise<object> => {
    const ask = () => dbg(endpoint, ['condition', 'NodeReady'], options);
    const answered = async () => ((await ask()).code === 0 ? { code: 0 } : undefined);
    return poll(answered, { everyMs: 100, timeoutMs: 20_000, what: `an answer at ${endpoint}` });
  };
  return [
    await look(`unix:${node.socket}`),
    await look(`127.0.0.1:${node.port}`),
    await look(`127.0.0.1:${port}`, { pem: admin }),
  ];
}

void t.test(`rubbish ends its own connection and nothing else, seed ${seed}`, async (t) => {
  const remote = await startRemote(t, pki);
  for (const [name, open] of Object.entries(ways(remote))) {
    await fc.assert(
      fc.asyncProperty(fc.array(rubbish, { minLength: 1, maxLength: 8 }), async (all) => {
        await Promise.all(all.map((bytes) => say(open(), bytes)));
      }),
      { numRuns, seed },
    );
    t.match(
      await answers(remote),
      [{ code: 0 }, { code: 0 }, { code: 0 }],
      `after rubbish by way of ${name}`,
    );
  }
  const lines = remote.log();
  t.same(
    lines.filter(({ level }) => level > 40),
    [],
    'nothing fell over',
  );
  t.ok(lines.length < 100, `${lines.length} lines say so`);
});

/** A message as gRPC frames it, right or wrong: compressed or not, of a length that is its own or another. */
const message = fc
  .record({
    compressed: fc.constantFrom(0, 0, 0, 1, 255),
    body: fc.oneof(
      fc.uint8Array({ maxLength: 256 }),
      fc.constant(new Uint8Array(limits.maxRequestBytes + 1)),
      // A field with a length that is not there, and one that claims to be without end.
      fc.constant(Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f)),
      fc.constant(Uint8Array.of(0x0a, 3, 0xff, 0xfe, 0xfd)),
    ),
    length: fc.option(fc.integer({ min: 0, max: 0xffff_ffff }), { freq: 6, nil: undefined }),
  })
  .map(({ compressed, body, length = body.length }) => {
    const header = Buffer.alloc(5);
    header.writeUInt8(compressed, 0);
    header.writeUInt32BE(length, 1);
    return Buffer.concat([header, body]);
  });

const paths = [
  ...Object.values(nodeDebugService).map(({ path }) => path),
  ...['/grpc.health.v1.Health/Check', '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', '/x', ''],
];

const request = fc.record({
  path: fc.constantFrom(...paths),
  method: fc.constantFrom('POST', 'POST', 'POST', 'GET'),
  type: fc.constantFrom('application/grpc', 'application/grpc', 'text/html'),
  timeout: fc.constantFrom(undefined, '1S', '0n', '99999999H', 'soon'),
  encoding: fc.constantFrom(undefined, 'gzip', 'deflate', 'none'),
  messages: fc.array(message, { maxLength: 3 }),
  ends: fc.boolean(),
});
type Request = typeof request extends fc.Arbitrary<infer T> ? T : never;

async function ask(session: ClientHttp2Session, asked: Request): Promise<void> {
  const { path, method, type, timeout, encoding, messages, ends } = asked;
  const call = session.request(
    {
      ...{ ':method': method, ':path': path, 'content-type': type, te: 'trailers' },
      ...(timeout !== undefined && { 'grpc-timeout': timeout }),
      ...(encoding !== undefined && { 'grpc-encoding': encoding }),
    },
    { endStream: false },
  );
  call.on('error', () => undefined).resume();
  for (const bytes of messages) call.write(bytes);
  if (ends) call.end();
  await Promise.race([
    new Promise((resolve) => call.once('close', resolve)),
    new Promise((resolve) => setTimeout(resolve, patienceMs)),
  ]);
  call.destroy();
}

void t.test(`so do requests that are not what they should be, seed ${seed}`, async (t) => {
  const remote = await startRemote(t, pki);
  for (const [name, open] of Object.entries(ways(remote))) {
    if (name.includes('before')) continue;
    await fc.assert(
      fc.asyncProperty(request, async (asked) => {
        const session = connectHttp2('http://node', { createConnection: open });
        session.on('error', () => undefined);
        await Promise.race([once(session, 'connect'), once(session, 'close')]).catch(() => undefined);
        if (!session.destroyed) await ask(session, asked);
        session.destroy();
      }),
      { numRuns, seed },
    );
    t.match(await answers(remote), [{ code: 0 }, { code: 0 }, { code: 0 }], `after those by way of ${name}`);
  }
  const lines = remote.log();
  t.same(
    lines.filter(({ level }) => level > 40),
    [],
    'nothing fell over',
  );
  t.ok(lines.length < 100, `${lines.length} lines say so`);
});
