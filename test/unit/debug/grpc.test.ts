import { once } from 'node:events';
import { connect } from 'node:http2';
import { status } from '@grpc/grpc-js';
import t from 'tap';
import { nodeDebugService } from '../../../src/gen/hamlet/debug/v1/debug.js';
import { listen, type ServiceHandlers } from '../../../src/workers/debug/grpc.js';

t.setTimeout(60_000);

const { getCondition } = nodeDebugService;

void t.test('what is no method and what is no message is refused and logged', async (t) => {
  const lines: string[] = [];
  const condition = { name: 'NodeReady', status: 'true', reason: '', message: '', sinceMs: 1 };
  const handlers: ServiceHandlers<{ getCondition: typeof getCondition }> = {
    getCondition: async () => ({ ok: true, condition }),
  };
  const server = await listen({ getCondition }, handlers, {
    address: '127.0.0.1',
    port: 0,
    roles: { getCondition: 'read' },
    log: {
      error: (fields, message) => t.fail(message, fields),
      info: () => undefined,
      warn: (_fields, message) => void lines.push(message.replace(/user \d+/, 'a user')),
    },
  });
  const session = connect(`http://127.0.0.1:${server.port}`);
  t.teardown(async () => {
    session.destroy();
    await server.close(0);
  });
  const ask = async (path: string, message: readonly number[], type = 'application/grpc') => {
    const headers = { ':method': 'POST', ':path': path, 'content-type': type, te: 'trailers' };
    const call = session.request(headers, { endStream: false });
    call.end(Uint8Array.of(0, 0, 0, 0, message.length, ...message));
    const closed = new Promise((resolve) => call.resume().once('close', resolve));
    const trailers = once(call, 'trailers') as Promise<[Record<string, unknown>]>;
    const [answer] = (await once(call, 'response')) as [Record<string, unknown>];
    const [last] =
      answer['grpc-status'] === undefined && answer[':status'] === 200 ? await trailers : [answer];
    trailers.catch(() => undefined);
    await closed;
    return last['grpc-status'] ?? answer[':status'];
  };
  t.equal(await ask('/nosuch', []), String(status.UNIMPLEMENTED));
  t.equal(await ask(getCondition.path, [], 'text/html'), 415);
  t.same(lines.splice(0), ['a user asks the debug API for what it does not have']);
  t.equal(
    await ask(getCondition.path, [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
    String(status.INVALID_ARGUMENT),
  );
  t.match(lines.splice(0), [/^a request of a user to the debug API cannot be read: ./]);
  t.equal(await ask(getCondition.path, [0x0a, 1, 0x78]), String(status.OK));
  t.same(lines, []);
});
