import { once } from 'node:events';
import { createServer, type AddressInfo, connect } from 'node:net';
import { type ServiceError, status } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { deadlineOf } from '../../src/ipc/deadline.js';
import { certs } from '../../src/ipc/services/certs.js';
import { type Condition, host } from '../../src/ipc/services/host.js';
import { type LogLine, logs } from '../../src/ipc/services/logs.js';
import { HamletError } from '../../src/lib/errors.js';
import { poll } from '../../src/lib/time.js';
import { dbg } from '../unit/cli/fixture.js';
import { DebugNode } from './debug-fixture.js';

// Each test starts a mesh and a thread; a busy machine takes a while for that.
t.setTimeout(120_000);

const ready: Condition = {
  name: 'NodeReady',
  status: 'true',
  reason: '',
  message: '',
  sinceMs: 1_700_000_000_123,
};
const starting: Condition = {
  name: 'kube.apiserver',
  status: 'false',
  reason: 'Starting',
  message: 'waits for etcd',
  sinceMs: 5,
};
const board = [ready, starting];

function line(component: string, sequence: number, data: Buffer<ArrayBuffer>): LogLine {
  return { component, sequence, atMs: 1, run: 1, source: 'stderr', data };
}

async function startNode(t: Test): Promise<DebugNode> {
  const node = await DebugNode.start();
  t.teardown(() => node[Symbol.asyncDispose]());
  await node.thread.ready;
  return node;
}

/** The status that a call ends with: its code's name and its text. */
async function failure(call: Promise<unknown>): Promise<[string | undefined, string]> {
  try {
    await call;
  } catch (error) {
    const { code, details } = error as ServiceError;
    return [status[code], details];
  }
  throw new Error('the call should have failed');
}

void t.test('conditions', async (t) => {
  const node = await startNode(t);
  await node.serve('main', host, {
    condition: ({ name }) => {
      const found = board.find((condition) => condition.name === name);
      if (found === undefined)
        throw new HamletError('NOT_FOUND', `no condition ${name}; there are NodeReady, …`);
      return found;
    },
    async *conditions() {
      yield { conditions: board, snapshot: true };
      yield { conditions: [ready], snapshot: false };
    },
  });
  const client = node.client();
  const flat = ({ name, status, reason, message, sinceMs }: Condition) => {
    return { name, status, reason, message, since_ms: sinceMs };
  };
  t.match(await client.call('GetCondition', { name: 'NodeReady' }), { ok: true, condition: flat(ready) });
  t.match(await client.call('GetCondition', { name: 'kube.apiserver' }), {
    ok: false,
    condition: flat(starting),
  });
  t.match(await client.call('ListConditions', {}), { conditions: [flat(ready), flat(starting)] });
  t.same(await failure(client.call('GetCondition', { name: 'NoSuch' })), [
    'NOT_FOUND',
    'no condition NoSuch; there are NodeReady, …',
  ]);
  t.same(await failure(client.call('GetCondition', {})), [
    'INVALID_ARGUMENT',
    'name is empty: say which condition',
  ]);
  t.same(await failure(client.call('GetCondition', { name: 'x'.repeat(200) })), [
    'INVALID_ARGUMENT',
    'name is 200 characters long, and 128 are allowed (host.condition)',
  ]);
});

void t.test('kubeconfigs', async (t) => {
  const node = await startNode(t);
  const client = node.client();
  let pki = false;
  let kubectl: readonly string[] = [];
  const asked: unknown[] = [];
  await node.serve('certs', certs, {
    debugKubeconfig: (request) => {
      if (!pki) throw new HamletError('UNAVAILABLE', 'there is no PKI yet: waiting for etcd');
      asked.push(request);
      return { kubeconfig: 'apiVersion: v1\n', expiresAtMs: 1_800_000_000_000 };
    },
  });
  await node.serve('main', host, {
    kubectl: () => {
      if (kubectl.length === 0) throw new HamletError('UNAVAILABLE', 'the components are not found yet');
      return { command: [...kubectl] };
    },
  });
  const request = { id: 'hamlet:debug:ann', groups: ['system:masters', 'ops'] };

  t.same(await failure(client.call('GetDebugKubeconfig', request)), [
    'UNAVAILABLE',
    'there is no PKI yet: waiting for etcd',
  ]);
  pki = true;
  t.match(await client.call('GetDebugKubeconfig', request), {
    kubeconfig: 'apiVersion: v1\n',
    expires_at_ms: 1_800_000_000_000,
    kubectl_command: [],
  });
  kubectl = ['/opt/kube', 'kubectl'];
  t.match(await client.call('GetDebugKubeconfig', request), { kubectl_command: ['/opt/kube', 'kubectl'] });
  t.match(asked, [request, request], 'identity and groups arrive as they are');
  const caller = { transport: 'tcp', uid: process.geteuid?.(), pid: process.pid };
  t.match(asked, [{ caller }, { caller }], 'and who asks');

  t.match(await failure(client.call('GetDebugKubeconfig', {})), ['INVALID_ARGUMENT', /^id is empty/]);
  t.match(await failure(client.call('GetDebugKubeconfig', { id: 'ann', groups: ['ops', ''] })), [
    'INVALID_ARGUMENT',
    /^groups has an empty name/,
  ]);
  t.match(await failure(client.call('GetDebugKubeconfig', { id: 'a'.repeat(254) })), [
    'INVALID_ARGUMENT',
    /id/,
  ]);
});

void t.test('logs', async (t) => {
  const node = await startNode(t);
  const odd = [Buffer.from('text'), Buffer.from([0x61, 0xff, 0x00, 0xfe]), Buffer.alloc(0)];
  const big = Array.from({ length: 1_280 }, (_, index) => Buffer.alloc(16_384, index));
  await node.serve('logs', logs, {
    async *tail({ component, lines }) {
      if (component === 'nosuch')
        throw new HamletError('NOT_FOUND', 'no log nosuch; there are etcd, kube.apiserver');
      const all = component === 'etcd' ? big : odd;
      const wanted = lines === 0 ? all : all.slice(-lines);
      // As a ring does it: in batches.
      for (let at = 0; at < wanted.length; at += 2) {
        yield { lines: wanted.slice(at, at + 2).map((data, index) => line(component, at + index, data)) };
      }
    },
  });
  const client = node.client();
  const get = (component_path: string[], tail_lines = 0) =>
    client.call('GetComponentLogs', { component_path, tail_lines });

  t.same((await get(['kube', 'apiserver'])).lines, odd, 'bytes and order as they are');
  t.same((await get(['kube.apiserver'])).lines, odd, 'a dotted name is the same as its pieces');
  t.same((await get(['kube.apiserver'], 2)).lines, odd.slice(-2));
  t.same(await failure(get(['nosuch'])), ['NOT_FOUND', 'no log nosuch; there are etcd, kube.apiserver']);
  t.match(await failure(get([])), ['INVALID_ARGUMENT', /^component_path is empty/]);
  t.match(await failure(get([''])), ['INVALID_ARGUMENT', /^component_path is empty/]);
  t.match(await failure(get(['kube', ''])), ['INVALID_ARGUMENT', /has an empty part/]);
  t.match(await failure(get(['kube..apiserver'])), ['INVALID_ARGUMENT', /has an empty part/]);
  t.match(await failure(get(['etcd'], -1)), ['INVALID_ARGUMENT', /^tail_lines is -1/]);
  t.match(await failure(get(['etcd'], -(2 ** 31))), ['INVALID_ARGUMENT', /^tail_lines/]);

  t.match(await failure(get(['etcd'])), ['RESOURCE_EXHAUSTED', /larger than max/], "gRPC's default is 4 MiB");
  t.equal(((await get(['etcd'], 100)).lines as unknown[]).length, 100, 'and fewer lines fit');
  const patient = node.client({ 'grpc.max_receive_message_length': -1 });
  const whole = (await patient.call('GetComponentLogs', { component_path: ['etcd'] })).lines as Buffer[];
  t.equal(
    Buffer.compare(Buffer.concat(whole), Buffer.concat(big)),
    0,
    'a client with a higher limit gets 20 MiB',
  );
});

void t.test('a service that is not there yet is UNAVAILABLE, and answers when it is', async (t) => {
  const node = await startNode(t);
  const client = node.client();
  const get = () => client.call('GetComponentLogs', { component_path: ['etcd'] });
  t.match(await failure(get()), ['UNAVAILABLE', /logs/]);
  const connection = await node.serve('logs', logs, {
    async *tail() {
      yield { lines: [line('etcd', 1, Buffer.from('here'))] };
    },
  });
  t.same((await get()).lines, [Buffer.from('here')]);
  await connection.close();
  t.match(await failure(get()), ['UNAVAILABLE', /logs/]);
});

void t.test('deadlines and cancellation reach the service', async (t) => {
  const node = await startNode(t);
  const client = node.client();
  const seen: { remainingMs: number; aborted: Promise<unknown> }[] = [];
  await node.serve('main', host, {
    condition: async (_request, { signal }) => {
      const aborted = once(signal, 'abort');
      seen.push({ remainingMs: deadlineOf(signal) - performance.now(), aborted });
      await aborted;
      throw new HamletError('CANCELLED', 'given up');
    },
  });
  const late = client.call('GetCondition', { name: 'x' }, { deadline: Date.now() + 2_000 });
  t.match(await failure(late), ['DEADLINE_EXCEEDED', /./]);
  await seen[0]?.aborted;
  const remainingMs = seen[0]?.remainingMs ?? -1;
  t.ok(remainingMs > 0 && remainingMs <= 2_000, `${remainingMs} ms remained`);

  const call = client.call('GetCondition', { name: 'x' });
  await poll(() => (seen.length === 2 ? true : undefined), {
    everyMs: 5,
    timeoutMs: 20_000,
    what: 'the second call',
  });
  call.cancel();
  t.match(await failure(call), ['CANCELLED', /./]);
  await seen[1]?.aborted;
});

void t.test('an unexpected error is INTERNAL, and a request that cannot be read harms nobody', async (t) => {
  const node = await startNode(t);
  const client = node.client();
  await node.serve('main', host, {
    condition: () => {
      throw new TypeError('a bug');
    },
  });
  t.match(await failure(client.call('GetCondition', { name: 'x' })), ['INTERNAL', /./]);

  const socket = connect(node.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.resume();
  socket.end('GET / HTTP/1.1\r\n\r\n');
  await once(socket, 'close');
  t.match(await failure(client.call('GetCondition', { name: 'x' })), ['INTERNAL', /./], 'still there');
});

void t.test('a port that is taken closes the socket to nobody, and is taken when it is free', async (t) => {
  const squatter = createServer();
  await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', resolve));
  const { port } = squatter.address() as AddressInfo;
  const node = await DebugNode.start(port);
  t.teardown(async () => {
    await node[Symbol.asyncDispose]();
    squatter.close();
  });
  await node.thread.ready;
  const now = { status: 'true', reason: '', message: '', sinceMs: 0 } as const;
  await node.serve('main', host, { condition: ({ name }) => ({ name, ...now }) });
  const look = (endpoint: string) => dbg(['condition', 'etcd'], { endpoint });
  t.match(await look(`unix:${node.socket}`), { code: 0 });
  await new Promise((resolve) => squatter.close(resolve));
  await poll(async () => (await look(`127.0.0.1:${port}`)).code === 0 || undefined, {
    everyMs: 100,
    timeoutMs: 30_000,
    what: 'the port',
  });
});

void t.test('a stop cancels what is open and frees the port', async (t) => {
  const node = await startNode(t);
  const client = node.client();
  let called = false;
  await node.serve('main', host, {
    condition: async (_request, { signal }) => {
      called = true;
      await once(signal, 'abort');
      throw new HamletError('CANCELLED', 'given up');
    },
  });
  const open = failure(client.call('GetCondition', { name: 'x' }));
  await poll(() => (called ? true : undefined), { everyMs: 5, timeoutMs: 20_000, what: 'the call' });
  t.same(await node.thread.stop(20_000), { kind: 'stopped' });
  t.match(await open, [/UNAVAILABLE|CANCELLED/, /./]);
  const next = createServer();
  await new Promise<void>((resolve) => next.listen(node.port, '127.0.0.1', resolve));
  t.pass('somebody else can have the port');
  next.close();
});
