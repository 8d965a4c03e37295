import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createSecureContext, connect, createServer, type TLSSocket } from 'node:tls';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import t from 'tap';
import { parse } from 'yaml';
import { holder } from '../../../src/ipc/services/certs.js';
import { credentialFiles } from '../../../src/workers/certs/credentials.js';
import { kubeconfig } from '../../../src/workers/certs/kubeconfig.js';
import { parsePki } from '../../../src/workers/certs/pki.js';
import { facts, freshPki } from './fixtures.js';

const pki = parsePki(await freshPki(), facts, Date.now());

interface Kubeconfig {
  readonly clusters: [{ cluster: { server: string; 'certificate-authority-data': string } }];
  readonly users: [{ name: string; user: { 'client-certificate-data': string; 'client-key-data': string } }];
  readonly contexts: [{ name: string; context: { cluster: string; user: string } }];
  readonly 'current-context': string;
}

type Files = Readonly<Record<string, string>>;

function filesOf(name: (typeof holder.options)[number]): Files {
  return Object.fromEntries(
    credentialFiles(pki, name, { apiserverPort: 6443, secretsFolder: '/run/secrets' }).map((file) => [
      file.name,
      Buffer.from(file.data).toString(),
    ]),
  );
}

function clientOf(text: string) {
  const config = parse(text) as Kubeconfig;
  const decode = (value: string) => Buffer.from(value, 'base64').toString();
  return {
    ca: decode(config.clusters[0].cluster['certificate-authority-data']),
    cert: decode(config.users[0].user['client-certificate-data']),
    key: decode(config.users[0].user['client-key-data']),
  };
}

void t.test('each holder gets the files of the contract and no others', async (t) => {
  const expected = {
    etcd: [],
    containerd: [],
    'kube.apiserver': [
      ...['ca.crt', 'kubelet-ca.crt', 'apiserver.crt', 'apiserver.key'],
      ...['kubelet-client.crt', 'kubelet-client.key'],
      ...['aggregation-ca.crt', 'front-proxy.crt', 'front-proxy.key'],
      ...['service-account.key', 'service-account.pub', 'encryption.json'],
    ],
    'kube.controller-manager': ['kubeconfig', 'ca.crt', 'tls.crt', 'tls.key', 'service-account.key'],
    'kube.scheduler': ['kubeconfig', 'ca.crt', 'tls.crt', 'tls.key'],
    'kube.proxy': ['kubeconfig'],
    'kube.kubelet': [
      ...['kubelet.kubeconfig', 'ca.crt', 'kubelet.crt', 'kubelet.key', 'client.crt', 'client.key'],
    ],
    debug: ['ca.crt', 'tls.crt', 'tls.key'],
    master: ['ca.crt', 'client.crt', 'client.key'],
  };
  t.same(Object.fromEntries(holder.options.map((name) => [name, Object.keys(filesOf(name))])), expected);
});

void t.test('the keys of the authorities are in no file', async (t) => {
  const texts = holder.options.flatMap((name) => Object.values(filesOf(name)));
  const inside = texts.filter((text) => text.includes('client-key-data')).map((text) => clientOf(text).key);
  const everything = [...texts, ...inside].join('\n');
  for (const { privateKey } of [...Object.values(pki.authorities), ...Object.values(pki.successors)]) {
    const secret = privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64');
    t.notOk(everything.includes(secret));
  }
  const own = pki.leaves['proxy-client'].privateKey.export({ type: 'pkcs8', format: 'der' });
  t.ok(everything.includes(own.toString('base64')), 'a key that is handed out would be found');
});

void t.test('the service account key is RSA, and its public half is the other file', async (t) => {
  const files = filesOf('kube.apiserver');
  const key = createPrivateKey(files['service-account.key'] ?? '');
  t.equal(key.asymmetricKeyType, 'rsa');
  t.equal(key.asymmetricKeyDetails?.modulusLength, 2048);
  t.ok(createPublicKey(files['service-account.pub'] ?? '').equals(createPublicKey(key)));
});

void t.test('clients and servers accept each other over TLS 1.3', async (t) => {
  const kubeconfigOf = (files: Files) => clientOf(files.kubeconfig ?? '');
  const clients = {
    'system:kube-controller-manager': kubeconfigOf(filesOf('kube.controller-manager')),
    'system:kube-scheduler': kubeconfigOf(filesOf('kube.scheduler')),
    'system:kube-proxy': kubeconfigOf(filesOf('kube.proxy')),
    [`system:node:${facts.nodeName}`]: pair(filesOf('kube.kubelet'), 'client'),
    'hamlet:master': pair(filesOf('master'), 'client'),
    'hamlet:apiserver-kubelet-client': pair(filesOf('kube.apiserver'), 'kubelet-client'),
  };
  const servers = [
    pair(filesOf('kube.apiserver'), 'apiserver'),
    pair(filesOf('kube.controller-manager'), 'tls'),
    pair(filesOf('kube.scheduler'), 'tls'),
  ];
  for (const server of servers) {
    for (const [name, client] of Object.entries(clients)) {
      t.equal(await handshake(server, client, '127.0.0.1'), name);
    }
  }
  const kubelet = pair(filesOf('kube.kubelet'), 'kubelet');
  await t.rejects(handshake(kubelet, clients['hamlet:master'], '127.0.0.1'), {
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  });
  t.equal(await handshake(kubelet, clients['hamlet:master'], facts.nodeName), 'hamlet:master');
  const stranger = pair(filesOf('kube.apiserver'), 'front-proxy');
  t.equal(await handshake(kubelet, stranger, facts.nodeName), 'refused', 'another authority');
  t.equal(await handshake(kubelet, kubelet, facts.nodeName), 'refused', 'a server is not a client');
});

void t.test('a kubeconfig has one context and survives any user name', async (t) => {
  const text = kubeconfig({
    ...{ port: 16443, user: '"#: {x}\n- é\\', authority: 'CA' },
    client: { certificate: 'CERT', privateKey: 'KEY' },
  });
  const config = parse(text) as Kubeconfig;
  t.equal(config.users[0].name, '"#: {x}\n- é\\');
  t.equal(config['current-context'], 'hamlet');
  t.match(config.contexts, [{ name: 'hamlet', context: { cluster: 'hamlet', user: config.users[0].name } }]);
  t.equal(config.clusters[0].cluster.server, 'https://127.0.0.1:16443');
  t.same(clientOf(text), { ca: 'CA', cert: 'CERT', key: 'KEY' });
});

void t.test("the kubelet's kubeconfig has no key in it, but the places of two files", (t) => {
  const { users } = parse(filesOf('kube.kubelet')['kubelet.kubeconfig'] ?? '') as {
    readonly users: [{ readonly user: object }];
  };
  t.same(users[0].user, {
    'client-certificate': '/run/secrets/kube.kubelet/client.crt',
    'client-key': '/run/secrets/kube.kubelet/client.key',
  });
  t.end();
});

interface Pair {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

function pair(files: Files, name: string): Pair {
  const part = (file: string): string => {
    const text = files[file];
    if (text === undefined) throw new Error(`no ${file}`);
    return text;
  };
  return { ca: part('ca.crt'), cert: part(`${name}.crt`), key: part(`${name}.key`) };
}

/** Connects to a server that wants a client certificate; gives the client's common name as the server saw it. */
async function handshake(server: Pair, client: Pair, servername: string): Promise<string> {
  const listener = createServer({
    ...server,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
  });
  listener.on('secureConnection', (socket: TLSSocket) => {
    socket.on('error', () => {});
    socket.end(socket.authorized ? String(socket.getPeerCertificate().subject.CN) : 'refused');
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  try {
    const { port } = listener.address() as AddressInfo;
    const host = servername === '127.0.0.1' ? {} : { servername };
    const secureContext = createSecureContext({ ...client, ca: server.ca });
    const socket = connect({ host: '127.0.0.1', port, secureContext, ...host });
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  } finally {
    listener.close();
  }
}
