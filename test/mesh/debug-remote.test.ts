import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import path from 'node:path';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import t from 'tap';
import { nodeDebugService } from '../../src/gen/hamlet/debug/v1/debug.js';
import { poll } from '../../src/lib/time.js';
import { bundle, privateKeyPem } from '../../src/workers/certs/credentials.js';
import { certificate, dbg, newPki, silence, startRemote } from './debug-remote-fixture.js';

t.setTimeout(180_000);

const pki = await newPki();
const allowed = { code: 0, stderr: '' };
const closed = { code: 1, stderr: /^dbg: no node answers at .*, or it does not take this certificate/ };
const refused = { code: 1, stderr: /^dbg: client jane may not do this: it takes a certificate of the role/ };
const look = ['condition', 'NodeReady'];
const act = ['kubectl', 'get', 'pods'];

void t.test(
  'whoever comes from another machine needs a certificate of the debug CA, of the right role',
  async (t) => {
    const { port, admin, log } = await startRemote(t, pki);
    const foreign = await newPki();
    const server = pki.leaves['debug-server'];
    const serving = `${server.certificate.toString()}${privateKeyPem(server.privateKey)}`;
    const hour = 3_600_000;
    const table: readonly (readonly [string, string, object, object, RegExp?])[] = [
      ['admin', await certificate(pki, ['admin']), allowed, allowed],
      ['read', await certificate(pki, ['read']), allowed, refused, /jane may not call getDebugKubeconfig/],
      ['no role', await certificate(pki, []), refused, refused, /client jane may not call getCondition/],
      [
        'not valid yet',
        await certificate(pki, ['admin'], { issuedMs: Date.now() + hour }),
        ...([closed, closed, /is refused: its certificate is not valid yet/] as const),
      ],
      [
        'of another node',
        `${await certificate(foreign, ['admin'])}${bundle(pki, 'debug-ca')}`,
        ...([closed, closed, /is not of this node's debug CA/] as const),
      ],
      [
        "of the cluster's CA",
        await certificate(pki, ['admin'], { issuer: 'id-ca' }),
        // The reason is the last one's: one line for both.
        ...([closed, closed] as const),
      ],
      [
        "a server's",
        `${serving}${bundle(pki, 'debug-ca')}`,
        ...([closed, closed, /is refused: its certificate is not a client's/] as const),
      ],
    ];
    for (const [name, pem, looks, acts, line] of table) {
      const before = log().length;
      const file = path.join(t.testdirName, `${name.replace(/\W/g, '-')}.pem`);
      writeFileSync(file, pem);
      t.match(await dbg(`127.0.0.1:${port}`, look, { pem: file }), looks, `${name} looks`);
      t.match(await dbg(`localhost:${port}`, act, { pem: file }), acts, `${name} asks for credentials`);
      const lines = log().slice(before);
      if (line !== undefined) {
        t.equal(lines.filter(({ msg }) => line.test(msg)).length, 1, `${name} is logged once`);
      }
    }

    const local = { code: 1, stderr: /client jane may not do this: it is done on the node itself/ };
    const another = ['client-certificate', 'jane'];
    t.match(await dbg(`127.0.0.1:${port}`, another, { pem: admin }), local, 'none lasts by making another');
    t.match(await dbg(`127.0.0.1:${port}`, look), { code: 1 }, 'nor without TLS');
    const old = path.join(t.testdirName, 'old.pem');
    writeFileSync(old, await certificate(pki, ['admin'], { issuedMs: Date.now() - hour }));
    const message = /^dbg: the certificate .*old.pem ended on .*"dbg client-certificate" on the node issues/;
    t.match(await dbg(`127.0.0.1:${port}`, look, { pem: old }), { code: 1, stderr: message });
    t.same(unforeseen(log()), []);
  },
);

function unforeseen(lines: readonly { readonly level: number }[]) {
  return lines.filter(({ level }) => level > 40);
}

/** The parts of what `dbg client-certificate` prints, for Node's own TLS. */
function parts(pem: string): ConnectionOptions {
  const [cert = '', ...authorities] = pem.match(/-----BEGIN CERT[^]+?-----END CERTIFICATE-----\n/g) ?? [];
  return { ca: authorities, cert, key: /-----BEGIN PRIV[^]+?-----END PRIVATE KEY-----/.exec(pem)?.[0] };
}

/** A connection after its handshake, or after the end of one that failed. */
async function shaken(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connectTls({ host: '127.0.0.1', port, ALPNProtocols: ['h2'], ...options });
  socket.on('error', () => undefined).resume();
  await new Promise<void>((resolve) => {
    socket.once('secureConnect', resolve).once('close', () => resolve());
  });
  return socket;
}

async function isClosed(socket: TLSSocket): Promise<void> {
  if (!socket.closed) await once(socket, 'close');
}

void t.test('a handshake brings no further than the certificate', async (t) => {
  const { port, log } = await startRemote(t, pki);
  const ca = bundle(pki, 'debug-ca');
  const count = (text: string) => log().filter(({ msg }) => msg.includes(text)).length;
  for (let round = 0; round < 3; round++) {
    const bare = await shaken(port, { ca });
    await isClosed(bare);
  }
  t.equal(count('is refused: it has no certificate'), 1);
  const old = parts(await certificate(pki, ['admin'], { issuedMs: Date.now() - 120_000 }));
  const late = await shaken(port, old);
  await isClosed(late);
  t.equal(count('is refused: its certificate has expired'), 1);
  const good = parts(await certificate(pki, ['admin']));
  const older = await shaken(port, { ...good, maxVersion: 'TLSv1.2' });
  t.not(older.getProtocol(), 'TLSv1.2');

  // What a resumed session has been found to be is not taken over: each connection is looked at anew.
  const first = connectHttp2(`https://127.0.0.1:${port}`, good);
  const sessions: Buffer[] = [];
  first.socket.on('session', (session: Buffer) => sessions.push(session));
  const call = first.request({ ':path': nodeDebugService.getCondition.path, ':method': 'POST' });
  call.resume().end();
  await once(call, 'close');
  for (const session of sessions) {
    const second = await shaken(port, { ...good, session });
    t.equal(second.isSessionReused(), false);
    second.destroy();
  }
  first.destroy();
  t.same(unforeseen(log()), []);
});

void t.test('a renewal cuts nobody off, and the end of their certificate does', async (t) => {
  const { port, log, renew } = await startRemote(t, pki);
  const good = parts(await certificate(pki, ['read']));
  const before = connectHttp2(`https://127.0.0.1:${port}`, good);
  t.teardown(() => before.destroy());
  await once(before, 'connect');
  const shown = (before.socket as TLSSocket).getPeerX509Certificate()?.fingerprint256;
  t.equal(shown, pki.leaves['debug-server'].certificate.fingerprint256);
  const { leaves } = await newPki();
  t.not(leaves['debug-server'].certificate.fingerprint256, shown);
  // The successors take the place of the authorities, as in a rotation, and the old ones are trusted still.
  const next = {
    ...pki,
    leaves: { ...pki.leaves, 'debug-server': leaves['debug-server'] },
    predecessors: { 'debug-ca': pki.authorities['debug-ca'].certificate },
  };
  renew(next);
  await poll(
    async () => {
      const after = await shaken(port, { ...good, rejectUnauthorized: false });
      const now = after.getPeerX509Certificate()?.fingerprint256;
      after.destroy();
      return now === leaves['debug-server'].certificate.fingerprint256 ? true : undefined;
    },
    { everyMs: 50, timeoutMs: 10_000, what: 'the new certificate' },
  );
  t.equal(before.closed, false);
  const pong = await new Promise<Error | null>((resolve) => before.ping((error) => resolve(error)));
  t.equal(pong, null, 'a connection from before still answers');
  const brief = await shaken(port, parts(await certificate(pki, ['read'], { lifetimeMs: 4_000 })));
  await isClosed(brief);
  t.equal(before.closed, false, 'and only those whose own certificate has ended are cut off');
  t.same(unforeseen(log()), []);
});

void t.test('nobody outside keeps out those who may come in', async (t) => {
  const { node, port, admin, log } = await startRemote(t, pki);
  const count = (pattern: RegExp) => log().filter(({ msg }) => pattern.test(msg)).length;
  const sockets = await silence({ port }, 1_000);
  const silentAtMs = performance.now();
  const remote = `127.0.0.1:${port}`;
  t.match(await dbg(remote, look, { pem: admin }), allowed, 'who may come in does, beside all of them');
  t.match(await dbg(`127.0.0.1:${node.port}`, look), allowed, 'and so does who is on this machine');
  await Promise.all(sockets.map(async (socket) => socket.closed || once(socket, 'close')));
  t.ok(performance.now() - silentAtMs < 30_000, 'none stays');
  t.equal(count(/too many connections/), 1, 'what was too much is one line');
  t.ok(count(/said nothing/) <= 1, 'and so is silence');
  t.same(unforeseen(log()), []);
});
