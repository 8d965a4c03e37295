import { once } from 'node:events';
import { connect, constants, createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import type { Terms } from '../../../src/workers/debug/admission.js';
import { callBudget, limits, Refusals } from '../../../src/workers/debug/limits.js';
import { Streams } from '../../../src/workers/debug/streams.js';

const terms: Terms = { name: 'get', role: 'read', onNode: false, isUnary: true, atOnce: 2 };
const endless: Terms = { ...terms, name: 'follow', isUnary: false, atOnce: undefined };
const peer = { transport: 'unix', uid: 0, role: 'admin', inode: undefined, remoteInode: undefined } as const;

/** Streams before a server that answers each call with more than its client reads, and a client that reads nothing. */
async function start(t: Test, maxUnaryMs: number) {
  const lines: string[] = [];
  const streams = new Streams({
    terms: new Map([
      ['/get', terms],
      ['/follow', endless],
    ]),
    peerOf: () => peer,
    budget: callBudget(() => 0),
    refusals: new Refusals({ warn: (_fields, message) => lines.push(message) }, () => 0),
    maxUnaryMs,
  });
  const server = createServer();
  server.on('stream', (stream) => {
    stream.respond({ 'grpc-status': 12 });
    stream.end(Buffer.alloc(200_000));
  });
  streams.guard(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  t.teardown(() => {
    session.destroy();
    server.close();
  });
  const call = (path: string, type = 'application/grpc') => {
    const stream = session.request({ ':path': path, ':method': 'POST', 'content-type': type });
    stream.end();
    stream.on('error', () => undefined);
    return stream;
  };
  return { streams, lines, call };
}

void t.test('an answer that nobody reads is given up, and a stream is not', async (t) => {
  const { streams, lines, call } = await start(t, 4_000);
  const follow = call('/follow');
  await once(follow, 'response');
  const unread = [call('/get'), call('/get')];
  const ended = unread.map(async (stream) => once(stream, 'close'));
  await Promise.all(unread.map((stream) => once(stream, 'response')));
  t.doesNotThrow(() => streams.check('the Unix socket', terms));
  const third = call('/get');
  await once(third, 'response');
  t.throws(() => streams.check('the Unix socket', terms), {
    code: 'RESOURCE_EXHAUSTED',
    message: 'too many calls at a time: 2 of get are allowed',
  });
  t.doesNotThrow(() => streams.check('user 7', terms), 'others have their own');
  t.doesNotThrow(() => streams.check('the Unix socket', endless), 'and other methods');
  await Promise.all(ended);
  if (!third.closed) await once(third, 'close');
  t.same(
    [...unread, third].map(({ rstCode }) => rstCode),
    Array(3).fill(constants.NGHTTP2_CANCEL),
  );
  t.equal(follow.closed, false);
  t.doesNotThrow(() => streams.check('the Unix socket', terms), 'what has ended does not count');
  t.same(lines, [
    'the Unix socket has too many calls to the debug API open',
    'the Unix socket does not read what the debug API answers',
  ]);
});

void t.test('what is no call is counted as one and logged', async (t) => {
  const { lines, call } = await start(t, 60_000);
  const answers: number[] = [];
  for (let index = 0; index < limits.burst + 2; index++) {
    const stream = index % 2 === 0 ? call('/nosuch') : call('/get', 'text/html');
    await new Promise((resolve) => stream.resume().once('close', resolve));
    answers.push(stream.rstCode);
  }
  t.same(answers.slice(0, limits.burst), Array(limits.burst).fill(constants.NGHTTP2_NO_ERROR));
  t.same(answers.slice(limits.burst), Array(2).fill(constants.NGHTTP2_ENHANCE_YOUR_CALM));
  t.same(lines, ['the Unix socket asks the debug API for what it does not have']);
});
