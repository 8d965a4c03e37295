import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { nodeDebugService } from '../../src/gen/hamlet/debug/v1/debug.js';
import { deferred } from '../../src/ipc/deferred.js';
import { poll } from '../../src/lib/time.js';
import { limits } from '../../src/workers/debug/limits.js';
import { call, connected, doors, type Door } from './debug-doors.js';
import { newPki, silence, startRemote, type Remote } from './debug-remote-fixture.js';

t.setTimeout(180_000);

const pki = await newPki();
const { getCondition } = nodeDebugService;
const request = getCondition.requestSerialize({ name: 'NodeReady' });

/** Whether the node lets a connection in, which is then closed. */
async function isLetIn(door: Door): Promise<boolean> {
  const socket = door.open();
  const closed = new Promise<false>((resolve) => socket.once('close', () => resolve(false)));
  const session = connectHttp2('http://node', { createConnection: () => socket });
  session.on('error', () => undefined);
  const heard = new Promise<true>((resolve) => session.once('remoteSettings', () => resolve(true)));
  const letIn = await Promise.race([heard, closed]);
  session.destroy();
  await closed;
  return letIn;
}

/** What a client says first in TLS. */
async function clientHello(): Promise<Buffer> {
  const heard = deferred<Buffer>();
  const wire = new Duplex({ read() {}, write: (chunk: Buffer) => heard.resolve(chunk) });
  const socket = connectTls({ socket: wire, ALPNProtocols: ['h2'] }).on('error', () => undefined);
  const hello = await heard.promise;
  socket.destroy();
  return hello;
}

/**
 * Whether the node begins a TLS handshake, which is left at that: to go through with it takes the client as long as the
 * node, and on a busy machine fewer than are allowed would come.
 */
async function isGreeted(port: number, hello: Buffer): Promise<boolean> {
  const socket = connectTcp({ host: '127.0.0.1', port });
  socket.on('error', () => undefined).write(hello);
  const closed = new Promise<false>((resolve) => socket.once('close', () => resolve(false)));
  const heard = new Promise<true>((resolve) => socket.once('data', () => resolve(true)));
  const letIn = await Promise.race([heard, closed]);
  socket.destroy();
  await closed;
  return letIn;
}

/** Begins connections as fast as they are answered; gives how many were let in, and how long it took. */
async function flood(isOneLetIn: () => Promise<boolean>, tries: number) {
  const beganMs = performance.now();
  let letIn = 0;
  let tried = 0;
  const one = async (): Promise<void> => {
    while (tried < tries) {
      tried += 1;
      if (await isOneLetIn()) letIn += 1;
    }
  };
  await Promise.all(Array.from({ length: 16 }, one));
  return { letIn, tookMs: performance.now() - beganMs };
}

function linesOf(t: Test, { log }: Remote, pattern: RegExp): number {
  t.same(
    log().filter(({ level }) => level > 40),
    [],
    'nothing fell over',
  );
  return log().filter(({ msg }) => pattern.test(msg)).length;
}

void t.test('connections are limited in how fast they are begun, and silent ones cost nothing', async (t) => {
  const remote = await startRemote(t, pki);
  const tries = 2 * limits.connectionBurst + limits.connectionsPerSecond;
  const hello = await clientHello();
  const [unix, loopback, tls] = doors(remote) as [Door, Door, Door];
  for (const [door, caller, where] of [
    [unix, unix.caller, { path: remote.node.socket }],
    [loopback, loopback.caller, { port: remote.node.port }],
    [tls, 'address 127.0.0.1', { port: remote.port }],
  ] as const) {
    const before = await connected(t, door);
    const silent = await silence(where, 300);
    for (const socket of silent) socket.destroy();
    const isOneLetIn = door === tls ? () => isGreeted(remote.port, hello) : () => isLetIn(door);
    const { letIn, tookMs } = await flood(isOneLetIn, tries);
    const most = limits.connectionBurst + Math.ceil((tookMs / 1_000) * limits.connectionsPerSecond);
    // One was begun before, and one may have been by whoever waited for the listener.
    t.ok(letIn >= limits.connectionBurst - 2, `${door.name}: ${letIn} of ${tries} are let in`);
    t.ok(letIn <= most, `and not more than ${most}, in ${Math.round(tookMs)} ms`);
    t.match(
      await call(before, getCondition.path, request).ended,
      { code: 'OK' },
      'a connection that is open is answered all the same',
    );
    const text = new RegExp(`^${caller} begins too many connections`);
    t.equal(linesOf(t, remote, text), 1, `${tries - letIn} refusals are one line`);
    await poll(async () => (await isLetIn(door)) || undefined, {
      ...{ everyMs: 50, timeoutMs: 20_000, what: 'the next connection that is let in' },
    });
  }
});
