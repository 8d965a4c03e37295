import { ConnectionPool } from 'etcd3/lib/connection-pool.js';
import { KVClient } from 'etcd3/lib/rpc.js';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import t from 'tap';
import { poll } from '../../src/lib/time.js';
import { derivedKey, loadNodeIdentity } from '../../src/platform/node-identity.js';
import { etcdSocket } from '../../src/platform/paths.js';
import { encryptionOf, encryptionKey } from '../../src/workers/certs/pki.js';
import { SealedStore } from '../../src/workers/certs/sealed-store.js';
import { NodeKeySealer } from '../../src/platform/sealer.js';
import { EtcdStore } from '../../src/workers/certs/store.js';
import {
  anyPrivateKey,
  filesBelow,
  privateKey,
  search,
  symmetricKey,
  type Secret as Sought,
} from './certs-search.js';
import { TestNode, freePorts, run, timedNode } from './support/hamlet.js';

t.setTimeout(600_000);

const never = new AbortController().signal;
const word = 'correct-horse-battery-staple';
const below = Buffer.from('/registry/secrets/');
const end = Buffer.from('/registry/secrets0');
const ours = '/registry/secrets/default/plain-or-not';

/** A node whose key for Secrets is due every 20 seconds, and whose temporary files can be searched. */
class SecretiveNode {
  readonly node: TestNode;
  readonly #state: string;
  readonly #env: NodeJS.ProcessEnv;
  /** Every key that was seen in etcd or handed out. */
  readonly issued = new Map<string, Sought>();

  constructor(node: TestNode) {
    this.node = node;
    this.#state = path.join(node.folder, 'state');
    const temporary = path.join(node.folder, 'tmp');
    mkdirSync(temporary);
    this.#env = { TMPDIR: temporary, TEST_LIFETIMES: JSON.stringify({ secretsKeyMs: 20_000 }) };
  }

  async start(): Promise<void> {
    this.node.start(this.#env, timedNode);
    await this.node.ready();
    await this.note();
  }

  /** Every Secret as etcd has it. */
  async secrets(): Promise<ReadonlyMap<string, Buffer>> {
    const pool = new ConnectionPool({ hosts: `unix:${etcdSocket(this.node.runDir)}` });
    try {
      const { kvs } = await new KVClient(pool).range({ key: below, range_end: end });
      return new Map(kvs.map(({ key, value }) => [key.toString(), value]));
    } finally {
      pool.close();
    }
  }

  /** The names of the keys by which Secrets are encrypted, and how many are by each. */
  async keys(): Promise<ReadonlyMap<string, number>> {
    const count = new Map<string, number>();
    for (const [name, value] of await this.secrets()) {
      const key = /^k8s:enc:secretbox:v1:([^:]+):/.exec(value.subarray(0, 100).toString('latin1'))?.[1];
      if (key === undefined) throw new Error(`${name} is not encrypted`);
      count.set(key, (count.get(key) ?? 0) + 1);
    }
    return count;
  }

  /** Takes note of every key of the PKI, and gives the names of the keys for Secrets, the current one first. */
  async note(): Promise<readonly string[]> {
    await using etcd = new EtcdStore(etcdSocket(this.node.runDir));
    const sealingKey = derivedKey(loadNodeIdentity(this.#state), 'PKI in etcd');
    const { values } = await new SealedStore(etcd, new NodeKeySealer(sealingKey)).read(never);
    for (const [name, value] of values) {
      if (!name.endsWith('.key') || name === encryptionKey) continue;
      const der = Buffer.from(value);
      this.issued.set(der.toString('hex'), privateKey(name, der));
    }
    const { keys = [] } = encryptionOf(values) ?? {};
    for (const { name, secret } of keys) {
      this.issued.set(secret, symmetricKey(name, Buffer.from(secret, 'base64')));
    }
    return keys.map(({ name }) => name);
  }

  /** Takes note of the key in a kubeconfig. */
  noteKubeconfig(name: string, text: string): void {
    const data = /client-key-data"?: "?([A-Za-z0-9+/=]+)/.exec(text)?.[1];
    this.notePem(name, Buffer.from(data ?? '', 'base64').toString());
  }

  /** Takes note of the key in a text that has one. */
  notePem(name: string, text: string): void {
    const [, data] = /-----BEGIN PRIVATE KEY-----\n([^-]+)-----END/.exec(text) ?? [];
    if (data === undefined) throw new Error(`${name}: there is no key in ${text}`);
    const der = Buffer.from(data, 'base64');
    this.issued.set(der.toString('hex'), privateKey(name, der));
  }

  async kubectl(...args: readonly string[]): Promise<string> {
    return this.node.kubectl(args, { env: { ...process.env, ...this.#env } });
  }

  async word(): Promise<string> {
    const data = await this.kubectl('get', 'secret', 'plain-or-not', '-o', 'jsonpath={.data.word}');
    return Buffer.from(data, 'base64').toString();
  }

  async restartApiserver(): Promise<void> {
    const { stdout } = await run('pgrep', [
      '-f',
      `kube-apiserver .*--secure-port=${this.node.ports.apiserver} `,
    ]);
    for (const pid of stdout.trim().split('\n')) process.kill(Number(pid), 'SIGTERM');
  }

  /** Waits until the keys that are held are as wanted, and takes note of them. */
  async until(what: string, wanted: (names: readonly string[]) => boolean): Promise<readonly string[]> {
    const look = async () => {
      const names = await this.note();
      return wanted(names) ? names : undefined;
    };
    return poll(look, { everyMs: 200, timeoutMs: 120_000, what });
  }
}

/** Has credentials issued in every other way that there is, uses them, and takes note of their keys. */
async function useCredentials(secretive: SecretiveNode, elsewhere: string): Promise<void> {
  const { node } = secretive;
  const asked = async (args: readonly string[], env = {}): Promise<string> => {
    const { code, stdout, stderr } = await node.dbg(args, { env: { ...process.env, ...env } });
    if (code !== 0) throw new Error(`dbg ${args.join(' ')}: exit code ${code}: ${stderr}`);
    return stdout;
  };
  const plugin = JSON.parse(await asked(['credential'])) as { status: { clientKeyData: string } };
  secretive.notePem('the key of dbg credential', plugin.status.clientKeyData);
  // Where the one who asked keeps their own key is theirs to choose: not where the node has its files.
  await using folder = await temporaryFolder('/dev/shm');
  for (const role of ['read', 'admin']) {
    const text = await asked(['client-certificate', '--role', role, 'jane']);
    secretive.notePem(`the key of dbg client-certificate, ${role}`, text);
    const file = path.join(folder.path, role);
    writeFileSync(file, text, { mode: 0o600 });
    await asked(['--endpoint', elsewhere, '--cert', file, 'condition', 'NodeReady']);
  }
  const admin = ['--endpoint', elsewhere, '--cert', path.join(folder.path, 'admin')];
  secretive.noteKubeconfig('a key for another machine', await asked([...admin, 'kubeconfig']));
  await asked([...admin, 'kubectl', 'get', 'nodes']);
  // In the node's folder, so that it is searched: there is a plugin in it and no key.
  const merged = path.join(node.folder, 'merged');
  await asked(['kubeconfig', '--merge'], { KUBECONFIG: merged });
  await asked(['kubectl', '--kubeconfig', merged, 'get', 'nodes']);
}

async function temporaryFolder(place: string) {
  const folder = await mkdtemp(path.join(place, 'hamlet-'));
  return {
    path: folder,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

void t.test('what is secret is encrypted in etcd by a key that changes, and not on the disk', async (t) => {
  const [port = 0] = await freePorts(1);
  const remote = { address: '127.0.0.1', port };
  const secretive = new SecretiveNode(await TestNode.create({ debug: { remote } }));
  const { node } = secretive;
  t.teardown(() => node.remove());
  await secretive.start();
  await secretive.kubectl('create', 'secret', 'generic', 'plain-or-not', `--from-literal=word=${word}`);
  const first = await secretive.secrets();
  const [firstKey = ''] = [...(await secretive.keys()).keys()];
  t.same([...(await secretive.keys())], [[firstKey, first.size]]);
  t.notOk([...first.values()].some((value) => value.includes(word)));

  const [secondKey = ''] = await secretive.until('the next key', (names) => names.length === 2);
  t.match(await secretive.note(), [secondKey, firstKey], 'both are there');
  t.same((await secretive.secrets()).get(ours), first.get(ours), 'not used before the API server starts');
  t.match((await node.dbg(['certs'])).stdout, /\nSecrets: .*; some are still to be written by it\n/);

  // Killed with the new key made, and again as soon as the API server has it: somewhere in the midst of writing.
  await node.stop('SIGKILL');
  await secretive.start();
  t.equal((await secretive.note())[0], secondKey, 'the key that was made stays');
  await secretive.restartApiserver();
  await poll(async () => ((await secretive.keys()).has(secondKey) ? true : undefined), {
    ...{ everyMs: 10, timeoutMs: 60_000, what: 'the first Secret by the new key' },
  });
  await node.stop('SIGKILL');
  await secretive.start();
  t.equal(await secretive.word(), word, 'it can be read all the time');
  await secretive.until('the end of the first key', (names) => !names.includes(firstKey));
  const second = await secretive.keys();
  t.same([...second.keys()], [secondKey], 'not before every Secret is by the second one');
  t.ok((second.get(secondKey) ?? 0) >= first.size, 'and none is lost');

  // The third key is due at once: a start takes it, and what is plain in between is not there.
  const [thirdKey = ''] = await secretive.until('the third key', (names) => names.length === 2);
  t.equal(await node.stop(), 0);
  await secretive.start();
  await secretive.until('the end of the second key', (names) => !names.includes(secondKey));
  t.same([...(await secretive.keys()).keys()], [thirdKey]);
  t.equal(await secretive.word(), word);

  secretive.noteKubeconfig('a debug client’s key', (await node.dbg(['kubeconfig'])).stdout);
  const raw = await secretive.kubectl('config', 'view', '--raw');
  secretive.noteKubeconfig('the key of kubectl’s wrapper', raw);
  await useCredentials(secretive, `127.0.0.1:${port}`);
  await secretive.note();
  for (const name of ['debug-ca', 'debug-ca-next', 'debug-server'])
    t.ok(
      [...secretive.issued.values()].some((sought) => sought.name === `/kube-pki/${name}.key`),
      name,
    );
  const issued = [...secretive.issued.values()];
  t.ok(issued.length >= 26, `${issued.length} keys were issued`);

  const files = filesBelow(node.folder);
  t.ok(files.length > 30, `${files.length} files are searched`);
  for (const folder of ['state/etcd/', 'state/logs/', 'run/']) {
    t.ok(
      files.some((name) => name.startsWith(folder)),
      folder,
    );
  }
  t.same(
    search(node.folder, files, issued),
    ['/kube-pki/kubelet-server.key in state/pki/kubelet.key'],
    'one of the kubelet’s four files has a key that was issued, and no other file has one',
  );
  t.same(
    search(node.folder, files, [anyPrivateKey]).sort(),
    ['a private key in state/node.key', 'a private key in state/pki/kubelet.key'],
    'nor any other but the one by which the PKI is sealed',
  );
  const kubelets = ['ca.crt', 'kubelet.crt', 'kubelet.key', 'kubelet.kubeconfig'];
  t.same(readdirSync(path.join(node.folder, 'state/pki')).sort(), kubelets);
  for (const name of ['node.key', 'pki/kubelet.key', 'pki/kubelet.kubeconfig']) {
    t.equal(statSync(path.join(node.folder, 'state', name)).mode & 0o777, 0o400, name);
  }
  for (const folder of ['/var/log/pods', '/var/log/containers', '/etc/cni', '/var/lib/cni']) {
    if (existsSync(folder))
      t.same(search(folder, filesBelow(folder), [...issued, anyPrivateKey]), [], folder);
  }

  // What components read lies in memory: a search of that finds something, and shows that it would.
  const mount = path.join(node.folder, 'run/secrets');
  t.match(readFileSync('/proc/self/mounts', 'utf8'), `${mount} ramfs `);
  const folder = path.join(mount, 'kube.apiserver');
  const inMemory = search(folder, filesBelow(folder), issued);
  for (const found of [
    `${thirdKey} in encryption.json`,
    '/kube-pki/apiserver.key in apiserver.key',
    '/kube-pki/service-account.key in service-account.key',
  ]) {
    t.ok(inMemory.includes(found), found);
  }
});
