import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { deadline } from '../../../src/lib/time.js';
import { credentialFiles } from '../../../src/workers/certs/credentials.js';
import { parsePki } from '../../../src/workers/certs/pki.js';
import { probeHttp, probeHttps } from '../../../src/workers/kubelet/probes.js';
import { facts, freshPki, never } from '../certs/fixtures.js';
import { reason, shortFolder } from './sockets.js';

type Answer = (request: http.IncomingMessage, response: http.ServerResponse) => void;

async function listen(
  t: Test,
  server: Server & { closeAllConnections(): void },
  place: string | number,
): Promise<void> {
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  if (typeof place === 'string') server.listen(place);
  else server.listen(place, '127.0.0.1');
  await once(server, 'listening');
}

async function onSocket(t: Test, answer: Answer): Promise<string> {
  const socketPath = path.join(shortFolder(t), 'socket');
  await listen(t, http.createServer(answer), socketPath);
  return socketPath;
}

void t.test('a 200 over a Unix socket is a good answer, and its body is given', async (t) => {
  let seen = '';
  const socketPath = await onSocket(t, (request, response) => {
    request.setEncoding('utf8').on('data', (chunk: string) => (seen += chunk));
    request.on('end', () => response.end(`${request.method ?? ''} ${request.url ?? ''}`));
  });
  const probe = { socketPath, path: '/v3/kv/range', method: 'POST', body: '{"key":"eA=="}' } as const;
  t.equal(await probeHttp(probe, never), 'POST /v3/kv/range');
  t.equal(seen, '{"key":"eA=="}');
});

void t.test('anything else is none, and says what is wrong', async (t) => {
  const socketPath = await onSocket(t, (request, response) => {
    switch (request.url ?? '') {
      case '/readyz':
        response.writeHead(500);
        return response.end(
          '[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/rbac failed: not yet\nreadyz check failed\n',
        );
      case '/moved':
        response.writeHead(302, { location: '/' });
        return response.end();
      case '/broken':
        response.writeHead(200, { 'content-length': 100 });
        response.write('half', () => response.destroy());
        return;
      default:
        response.writeHead(404);
        return response.end('not found\n');
    }
  });
  const probe = (url: string) => reason(probeHttp({ socketPath, path: url }, never));
  t.equal(
    await probe('/readyz'),
    '/readyz answers 500: [-]etcd failed: reason withheld, [-]poststarthook/rbac failed: not yet',
  );
  t.equal(await probe('/moved'), '/moved answers 302: ');
  t.equal(await probe('/other'), '/other answers 404: not found');
  t.match(await probe('/broken'), /^the answer broke off/);
});

void t.test('a server that is not there, or says nothing, is told apart', async (t) => {
  const folder = shortFolder(t);
  t.match(
    await reason(probeHttp({ socketPath: path.join(folder, 'none'), path: '/' }, never)),
    /^no answer: .*ENOENT/,
  );
  const socketPath = await onSocket(t, () => undefined);
  using limit = deadline(20, never);
  t.equal(await reason(probeHttp({ socketPath, path: '/' }, limit.signal)), 'no answer: not within 20 ms');
  t.equal(
    await reason(probeHttp({ socketPath, path: '/' }, limit.signal)),
    'no answer: not within 20 ms',
    'late as well',
  );
});

void t.test('a long answer is cut, not kept', async (t) => {
  const socketPath = await onSocket(t, (_request, response) => response.end('x'.repeat(10_000_000)));
  t.ok((await probeHttp({ socketPath, path: '/' }, never)).length < 1_000_000);
});

void t.test(
  'each probe makes a connection of its own: a kept one would speak to a process that is gone',
  async (t) => {
    let connections = 0;
    const server = http.createServer((_request, response) => response.end('ok'));
    server.on('connection', () => (connections += 1));
    const socketPath = path.join(shortFolder(t), 'socket');
    await listen(t, server, socketPath);
    for (let probe = 1; probe <= 3; probe++) {
      await probeHttp({ socketPath, path: '/' }, never);
      t.equal(connections, probe);
    }
  },
);

void t.test('an HTTPS endpoint has to know the node’s CA, and gets its client certificate', async (t) => {
  const pki = parsePki(await freshPki(), facts, Date.now());
  const files = (holder: 'kube.apiserver' | 'kube.scheduler' | 'master') => {
    const all = credentialFiles(pki, holder, { apiserverPort: 6443, secretsFolder: '/run/secrets' });
    return (name: string) => Buffer.from(all.find((file) => file.name === name)?.data ?? []);
  };
  const serving = files('kube.scheduler');
  const master = files('master');
  const client = { ca: master('ca.crt'), cert: master('client.crt'), key: master('client.key') };
  const server = https.createServer(
    {
      cert: serving('tls.crt'),
      key: serving('tls.key'),
      ca: serving('ca.crt'),
      requestCert: true,
      rejectUnauthorized: true,
    },
    (_request, response) => response.end('ok'),
  );
  await listen(t, server, 0);
  const { port } = server.address() as AddressInfo;
  await t.resolves(probeHttps(port, '/healthz', () => client, never));
  t.equal(await reason(probeHttps(port, '/healthz', () => undefined, never)), 'waits for its certificates');

  const foreign = files('kube.apiserver')('aggregation-ca.crt');
  t.match(
    await reason(probeHttps(port, '/healthz', () => ({ ...client, ca: foreign }), never)),
    /^no answer: .*certificate/,
  );
  t.match(
    await reason(probeHttps(port, '/healthz', () => ({ ...client, cert: Buffer.from('x') }), never)),
    /PEM|no start line/i,
  );
});
