import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { status } from '@grpc/grpc-js';
import t from 'tap';
import { nodeDebugService } from '../../src/gen/hamlet/debug/v1/debug.js';
import { limits } from '../../src/workers/debug/limits.js';
import { dbg, newPki, startRemote } from '../mesh/debug-remote-fixture.js';

t.setTimeout(120_000);

void t.test('a call whose request never comes is ended, and keeps nobody out meanwhile', async (t) => {
  const { node, log } = await startRemote(t, await newPki());
  const session = connectHttp2(`http://127.0.0.1:${node.port}`);
  t.teardown(() => session.destroy());
  const headers = { ':method': 'POST', ':path': nodeDebugService.getCondition.path, te: 'trailers' };
  const calls = Array.from({ length: limits.maxConcurrentCalls }, () =>
    session.request({ ...headers, 'content-type': 'application/grpc' }, { endStream: false }),
  );
  const answers = Promise.all(calls.map(async (call) => (await once(call, 'response')) as unknown[]));
  t.match(await dbg(`127.0.0.1:${node.port}`, ['condition', 'NodeReady']), { code: 0 });
  for (const [answer] of await answers) t.match(answer, { 'grpc-status': String(status.DEADLINE_EXCEEDED) });
  const lines = log().filter(({ msg }) => /begins a call .* and sends no request/.test(msg));
  t.equal(lines.length, 1);
});
