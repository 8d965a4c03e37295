import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ServiceError, status } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { certs } from '../../src/ipc/services/certs.js';
import { type Condition, host } from '../../src/ipc/services/host.js';
import { limits } from '../../src/workers/debug/limits.js';
import { groupId } from '../../src/workers/debug/peer.js';
import { DebugNode } from './debug-fixture.js';

t.setTimeout(120_000);

const nobody = 65_534;
const asRoot = process.geteuid?.() === 0;
const dbgFile = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const ready: Condition = { name: 'NodeReady', status: 'true', reason: '', message: '', sinceMs: 1 };

async function startNode(t: Test): Promise<DebugNode> {
  const node = await DebugNode.start();
  t.teardown(() => node[Symbol.asyncDispose]());
  await node.thread.ready;
  await node.serve('main', host, {
    condition: () => ready,
    kubectl: () => ({ command: ['/bin/true'] }),
  });
  await node.serve('certs', certs, {
    debugKubeconfig: () => ({ kubeconfig: 'apiVersion: v1\n', expiresAtMs: 1_800_000_000_000 }),
  });
  return node;
}

interface Ended {
  readonly code: number | null;
  readonly stderr: string;
}

async function dbg(endpoint: string, args: readonly string[], uid: number): Promise<Ended> {
  const user = asRoot ? { uid, gid: uid } : {};
  const child = spawn(process.execPath, [dbgFile, '--endpoint', endpoint, ...args], { ...user, cwd: '/' });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  child.stdout.resume();
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stderr };
}

async function codeOf(call: Promise<unknown>): Promise<string | undefined> {
  try {
    await call;
    return 'OK';
  } catch (error) {
    return status[(error as ServiceError).code];
  }
}

async function opened(options: { port: number } | { path: string }): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', ...options });
  socket.on('error', () => undefined);
  socket.resume();
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
  return socket;
}

void t.test(
  'who may do what on which listener',
  { skip: !asRoot && 'it takes another user’s place' },
  async (t) => {
    const node = await startNode(t);
    // So that another user gets as far as the socket itself.
    chmodSync(path.dirname(node.socket), 0o755);
    const tcp = `127.0.0.1:${node.port}`;
    const unix = `unix:${node.socket}`;
    const allowed = { code: 0, stderr: '' };
    const refused = { code: 1, stderr: /^dbg: user 65534 may not do this; root may, and the group hamlet/ };
    const closed = { code: 1, stderr: /^dbg: no node answers at unix:/ };
    for (const [name, endpoint, uid, expected] of [
      ['root over TCP', tcp, 0, allowed],
      ['root over the socket', unix, 0, allowed],
      ['another user over TCP', tcp, nobody, refused],
      ['another user over the socket', unix, nobody, closed],
    ] as const) {
      for (const args of [
        ['condition', 'NodeReady'],
        ['kubectl', 'get', 'pods'],
      ]) {
        t.match(await dbg(endpoint, args, uid), expected, `${name}: ${args.join(' ')}`);
      }
    }
    t.equal(statSync(node.socket).mode & 0o777, groupId('hamlet') === undefined ? 0o600 : 0o660);
  },
);

void t.test('requests that are too large or too many are refused, and the next ones answered', async (t) => {
  const node = await startNode(t);
  const client = node.client();
  const ask = () => codeOf(client.call('GetCondition', { name: 'NodeReady' }));
  t.equal(
    await codeOf(client.call('GetCondition', { name: 'x'.repeat(limits.maxRequestBytes) })),
    'RESOURCE_EXHAUSTED',
  );
  t.equal(await ask(), 'OK');
  const codes = await Promise.all(Array.from({ length: 3 * limits.burst }, ask));
  t.same([...new Set(codes)].sort(), ['OK', 'RESOURCE_EXHAUSTED']);
  const answered = codes.filter((code) => code === 'OK').length;
  t.ok(answered >= limits.burst - 2, `${answered} of ${codes.length}`);
});

void t.test('rubbish ends its own connection and nothing else', async (t) => {
  const node = await startNode(t);
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  for (let round = 0; round < 100; round++) {
    const socket = await opened(round % 2 === 0 ? { port: node.port } : { path: node.socket });
    const noise = randomBytes(1 + ((round * 37) % 4_096));
    const head = [Buffer.alloc(0), preface, Buffer.concat([preface, settings])][round % 3] ?? preface;
    socket.write(Buffer.concat([head, noise]));
    // After a right beginning, noise can be the first part of a frame whose rest is waited for.
    if (round % 3 === 2) socket.destroySoon();
    else await once(socket, 'close');
  }
  t.equal(await codeOf(node.client().call('GetCondition', { name: 'NodeReady' })), 'OK');
  t.match(await dbg(`unix:${node.socket}`, ['condition', 'NodeReady'], 0), { code: 0 });
});

void t.test('a thousand connections that say nothing keep nobody out', async (t) => {
  const node = await startNode(t);
  const sockets: Socket[] = [];
  for (let index = 0; index < 1_000; index++) sockets.push(await opened({ port: node.port }));
  t.match(await dbg(`unix:${node.socket}`, ['condition', 'NodeReady'], 0), { code: 0 }, 'the socket answers');
  await Promise.all(sockets.map(async (socket) => socket.closed || once(socket, 'close')));
  t.equal(
    await codeOf(node.client().call('GetCondition', { name: 'NodeReady' })),
    'OK',
    'and the port again',
  );
});
