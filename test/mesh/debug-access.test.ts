import { once } from 'node:events';
import { chmodSync, openSync, statSync } from 'node:fs';
import path from 'node:path';
import { type ServiceError, status } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { certs } from '../../src/ipc/services/certs.js';
import { type Condition, host } from '../../src/ipc/services/host.js';
import { limits } from '../../src/workers/debug/limits.js';
import { groupId } from '../../src/workers/debug/peer.js';
import { listenAs } from '../unit/cli/fixture.js';
import { DebugNode } from './debug-fixture.js';
import { dbg, linesIn, silence, type LogLine } from './debug-remote-fixture.js';

t.setTimeout(150_000);

const nobody = 65_534;
const asRoot = process.geteuid?.() === 0;
const ready: Condition = { name: 'NodeReady', status: 'true', reason: '', message: '', sinceMs: 1 };

interface Started {
  readonly node: DebugNode;
  readonly log: () => readonly LogLine[];
}

async function startNode(t: Test): Promise<Started> {
  const file = path.join(t.testdir(), 'log');
  const node = await DebugNode.start(undefined, { logFd: openSync(file, 'a') });
  t.teardown(() => node[Symbol.asyncDispose]());
  await node.thread.ready;
  await node.serve('main', host, {
    condition: () => ready,
    kubectl: () => ({ command: ['/bin/true'] }),
  });
  await node.serve('certs', certs, {
    debugKubeconfig: () => ({ kubeconfig: 'apiVersion: v1\n', expiresAtMs: 1_800_000_000_000 }),
  });
  return { node, log: () => linesIn(file) };
}

async function codeOf(call: Promise<unknown>): Promise<string | undefined> {
  try {
    await call;
    return 'OK';
  } catch (error) {
    return status[(error as ServiceError).code];
  }
}

/** How many lines say this; none may be of something that nobody has foreseen. */
function count(t: Test, lines: readonly LogLine[], pattern: RegExp): number {
  t.same(
    lines.filter(({ level }) => level > 40),
    [],
    'nothing fell over',
  );
  return lines.filter(({ msg }) => pattern.test(msg)).length;
}

void t.test(
  'who may do what on which listener',
  { skip: !asRoot && 'it takes another user’s place' },
  async (t) => {
    const { node, log } = await startNode(t);
    // So that another user gets as far as the socket itself.
    chmodSync(path.dirname(node.socket), 0o755);
    const tcp = `127.0.0.1:${node.port}`;
    const unix = `unix:${node.socket}`;
    const root = { uid: 0 };
    const other = { uid: nobody };
    // Root's own group gives nothing, here or there.
    const otherInGroup = { uid: nobody, gid: 0 };
    const allowed = { code: 0, stderr: '' };
    const refused = { code: 1, stderr: /^dbg: user 65534 may not do this; root may, and the group hamlet/ };
    const closed = { code: 1, stderr: /^dbg: no node answers at unix:.*: you may not open it; root may/ };
    const actions = [
      ['condition', 'NodeReady'],
      ['kubectl', 'get', 'pods'],
      ['audit'],
      ['rotate-ca'],
      ['client-certificate', 'jane'],
    ];
    for (const [name, endpoint, user, look, act] of [
      ['root over TCP', tcp, root, allowed, allowed],
      ['root over the socket', unix, root, allowed, allowed],
      ['another user over TCP', tcp, other, refused, refused],
      ['another user over the socket', unix, other, closed, closed],
      ["another user in root's group over TCP", tcp, otherInGroup, refused, refused],
      ["another user in root's group over the socket", unix, otherInGroup, closed, closed],
    ] as const) {
      const [looking = [], acting = [], ...rest] = actions;
      t.match(await dbg(endpoint, looking, user), look, `${name} looks`);
      t.match(await dbg(endpoint, acting, user), act, `${name} asks for credentials`);
      if (act !== refused || user !== other) continue;
      for (const args of rest) t.match(await dbg(endpoint, args, user), act, `${name}: ${args.join(' ')}`);
    }
    t.equal(statSync(node.socket).mode & 0o777, groupId('hamlet') === undefined ? 0o600 : 0o660);
    t.equal(count(t, log(), /^user 65534 may not call getDebugKubeconfig/), 1, 'refused twice, logged once');
    t.equal(count(t, log(), /^user 65534 may not call /), actions.length, 'each once');
    t.match(
      await dbg(unix, ['client-certificate', 'jane'], root),
      { code: 1, stderr: /listens for no other machines; set debug.remote/ },
      'nobody gets a certificate that is good for nothing',
    );
  },
);

void t.test(
  'nobody takes the place of a node that is down',
  { skip: !asRoot && 'it takes another user’s place' },
  async (t) => {
    const { port, child } = await listenAs(nobody, '127.0.0.1');
    t.teardown(() => child.kill());
    t.match(await dbg(`localhost:${port}`, ['kubectl', 'get', 'pods']), {
      code: 1,
      stderr: `dbg: user 65534 listens at localhost:${port}, who is neither root nor you`,
    });
    t.equal(child.exitCode, null, 'nothing was sent there');
    t.match(await dbg(`127.0.0.1:${port}`, ['condition'], { uid: nobody }), {
      code: 1,
      stderr: /^dbg: (?!user)/,
    });
    if (child.exitCode === null) await once(child, 'exit');
    t.equal(child.exitCode, 1, 'their own node is asked');
  },
);

void t.test('requests that are too large or too many are refused, and the next ones answered', async (t) => {
  const { node, log } = await startNode(t);
  const client = node.client();
  const ask = () => codeOf(client.call('GetCondition', { name: 'NodeReady' }));
  t.equal(
    await codeOf(client.call('GetCondition', { name: 'x'.repeat(limits.maxRequestBytes) })),
    'RESOURCE_EXHAUSTED',
  );
  t.equal(await ask(), 'OK');
  t.equal(count(t, log(), /^a request of .* has not arrived: it is too large/), 1);
  const codes = await Promise.all(Array.from({ length: 3 * limits.burst }, ask));
  t.same([...new Set(codes)].sort(), ['OK', 'RESOURCE_EXHAUSTED']);
  const answered = codes.filter((code) => code === 'OK').length;
  t.ok(answered >= limits.burst - 2, `${answered} of ${codes.length}`);
  t.equal(count(t, log(), /makes too many calls/), 1);
});

void t.test('a thousand connections that say nothing keep nobody out', async (t) => {
  const { node, log } = await startNode(t);
  const sockets = [
    ...(await silence({ port: node.port }, 1_000)),
    ...(await silence({ path: node.socket }, 300)),
  ];
  const look = ['condition', 'NodeReady'];
  t.match(await dbg(`unix:${node.socket}`, look), { code: 0 }, 'the socket answers');
  t.match(await dbg(`127.0.0.1:${node.port}`, look), { code: 0 }, 'and the port, to the same user');
  await Promise.all(sockets.map(async (socket) => socket.closed || once(socket, 'close')));
  t.equal(count(t, log(), /^user .* has too many connections/), 1);
  t.ok(count(t, log(), /^the Unix socket has too many connections/) <= 1);
  t.ok(count(t, log(), /said nothing/) <= 2);
});
