import { once } from 'node:events';
import http2 from 'node:http2';
import path from 'node:path';
import t, { type Test } from 'tap';
import { deadline } from '../../../src/lib/time.js';
import { probeGrpc } from '../../../src/workers/kubelet/probes.js';
import { reason, shortFolder } from './sockets.js';

const never = new AbortController().signal;
const method = '/runtime.v1.RuntimeService/Status';

/** What a server does with a call; the real one is tried in test/node/containerd.test.ts. */
type Answer = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void;

async function serve(t: Test, answer: Answer) {
  const socket = path.join(shortFolder(t), 'socket');
  const server = http2.createServer();
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    answer(stream, headers);
  });
  t.teardown(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  server.listen(socket);
  await once(server, 'listening');
  return { probe: (signal = never) => probeGrpc(socket, method, signal), sessions };
}

/** Answers as a gRPC server does: a message, then trailers. */
function reply(stream: http2.ServerHttp2Stream, message: Buffer, trailers: http2.OutgoingHttpHeaders): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([prefix, message]));
}

void t.test('a good answer is given without its prefix', async (t) => {
  const message = Buffer.alloc(100_000, 'x');
  let asked: http2.IncomingHttpHeaders = {};
  const { probe, sessions } = await serve(t, (stream, headers) => {
    asked = headers;
    reply(stream, message, { 'grpc-status': '0' });
  });
  t.ok((await probe()).equals(message));
  t.match(asked, {
    ':path': method,
    ':authority': 'localhost',
    te: 'trailers',
    'content-type': 'application/grpc',
  });
  while (sessions.size > 0) await new Promise((resolve) => setImmediate(resolve));
  t.equal(sessions.size, 0, 'and leaves no connection');
});

void t.test('an error of the server is told with its number and message', async (t) => {
  const { probe } = await serve(t, (stream) => {
    stream.respond(
      { ':status': 200, 'grpc-status': '12', 'grpc-message': 'unknown service%20x' },
      { endStream: true },
    );
  });
  t.equal(await reason(probe()), `${method} answers status 12: unknown service x`);
});

void t.test('a message that cannot be decoded is shown as it is', async (t) => {
  const { probe } = await serve(t, (stream) =>
    reply(stream, Buffer.alloc(0), { 'grpc-status': '2', 'grpc-message': '100% wrong' }),
  );
  t.equal(await reason(probe()), `${method} answers status 2: 100% wrong`);
});

void t.test('what is no gRPC has no status', async (t) => {
  const { probe } = await serve(t, (stream) => {
    stream.respond({ ':status': 404 });
    stream.end('not found');
  });
  t.equal(await reason(probe()), `${method} answers status none: `);
});

void t.test('a stream or connection that breaks off is no answer', async (t) => {
  const reset = await serve(t, (stream) => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR));
  t.match(await reason(reset.probe()), /^no answer: /);
  const closed = await serve(t, (stream) => stream.session?.destroy());
  t.match(await reason(closed.probe()), /^(no answer|the connection was closed|.*answers status none)/);
});

void t.test('a server that is not there, or says nothing, is no answer', async (t) => {
  t.match(await reason(probeGrpc(path.join(shortFolder(t), 'none'), method, never)), /^no answer: .*ENOENT/);
  const { probe, sessions } = await serve(t, () => undefined);
  using limit = deadline(50, never);
  t.equal(await reason(probe(limit.signal)), 'no answer: not within 50 ms');
  while (sessions.size > 0) await new Promise((resolve) => setImmediate(resolve));
  t.equal(await reason(probe(limit.signal)), 'no answer: not within 50 ms', 'late as well');
});
