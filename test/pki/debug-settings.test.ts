import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { callNode } from '../../src/cli/node-client.js';
import { nodeDebugService } from '../../src/gen/hamlet/debug/v1/debug.js';
import { errnoOf } from '../../src/lib/errors.js';
import { poll, sleep } from '../../src/lib/time.js';
import { freePorts, run, TestNode, type Result } from '../node/support/hamlet.js';

t.setTimeout(600_000);

const { signal } = new AbortController();

/** How long the credentials of the first part live, and how many of them kubectl has to ask for by itself. */
const ttlSeconds = 10;
const renewals = 3;

/**
 * With new credentials client-go closes its connections, and the request for which it got them may still be sent on one
 * that it has just closed (exec.go, connrotation.go). That is kubectl's own, and the next request goes well.
 */
const closedByKubectl = 'use of closed network connection';

/** What `dbg audit -o json` says of a credential. */
interface Issued {
  readonly id: string;
  readonly groups: readonly string[];
  readonly serial: string;
  readonly refused: string;
  readonly ends: string;
}

async function audit(node: TestNode, id: string): Promise<Issued[]> {
  const { stdout } = await node.dbg(['audit', '-o', 'json']);
  return (JSON.parse(stdout) as Issued[]).filter((issued) => issued.id === id);
}

/** The node's kubectl, by the words that start it, without dbg around it, as k9s and helm would be. */
function plainKubectl([program = '', ...first]: readonly string[], kubeconfig: string) {
  const env = { ...process.env, KUBECONFIG: kubeconfig };
  return {
    run: (...args: string[]): Promise<Result> => run(program, [...first, ...args], { env }),
    start(t: Test, ...args: string[]): { readonly child: ChildProcess; output: string } {
      const child = spawn(program, [...first, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
      const started = { child, output: '' };
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (chunk: string) => (started.output += chunk));
      }
      t.teardown(() => child.kill('SIGTERM'));
      return started;
    },
  };
}

function configure(node: TestNode, settings: object): void {
  const config = JSON.parse(readFileSync(node.config, 'utf8')) as object;
  writeFileSync(node.config, JSON.stringify({ ...config, ...settings }));
}

/** How a connection is answered: "open", or the error's code. */
async function answerAt(where: { readonly port: number } | { readonly path: string }): Promise<string> {
  const socket = connect('port' in where ? { ...where, host: '127.0.0.1' } : where);
  try {
    await once(socket, 'connect');
    return 'open';
  } catch (error) {
    return errnoOf(error) ?? String(error);
  } finally {
    socket.destroy();
  }
}

void t.test('what the section debug of the configuration says holds on a real node', async (t) => {
  const [port = 0] = await freePorts(1);
  const remote = { address: '127.0.0.1', port };
  const node = await TestNode.create({ debug: { remote } });
  t.teardown(() => node.remove());
  const socket = node.run.debugSocket;
  const mine = path.join(node.folder, 'kubeconfig');
  const me = ['--id', 'jane', '--groups', 'system:masters'];

  await t.test('a port for other machines that is taken is named before anything starts', async (t) => {
    const other = createServer().listen(port, '127.0.0.1');
    await once(other, 'listening');
    node.start();
    const end = await poll(() => node.end, { everyMs: 20, timeoutMs: 60_000, what: 'the end of Hamlet' });
    other.close();
    t.not(end, 'with exit code 0');
    t.match(node.output, new RegExp(`port ${port} is taken by .*; set debug\\.remote\\.port `));
  });

  node.start();
  await node.ready();
  const asTest = { id: 'test', groups: ['test'], ttlSeconds: 60 };
  const { kubectlCommand } = await callNode(node.endpoint, nodeDebugService.getDebugKubeconfig, asTest);

  await t.test('kubectl has its credentials renewed while it runs', async (t) => {
    const merging = { env: { ...process.env, KUBECONFIG: mine } };
    const merged = await node.dbg(['kubeconfig', '--merge', ...me, '--ttl', `${ttlSeconds}s`], merging);
    t.equal(merged.code, 0, merged.stderr);
    const before = (await audit(node, 'jane')).length;
    const kubectl = plainKubectl(kubectlCommand, mine);
    const proxy = kubectl.start(t, 'proxy', '--port=0');
    const watch = kubectl.start(t, 'get', 'configmaps', '--watch', '--output=name');
    const proxyPort = await poll(() => /127\.0\.0\.1:(\d+)/.exec(proxy.output)?.[1], {
      ...{ everyMs: 50, timeoutMs: 30_000, what: 'the port of kubectl proxy' },
    });
    const failed: string[] = [];
    const ask = async (): Promise<void> => {
      const response = await fetch(`http://127.0.0.1:${proxyPort}/api/v1/nodes`);
      const text = await response.text();
      if (response.status !== 200) failed.push(`${new Date().toISOString()} ${response.status} ${text}`);
    };
    let requests = 0;
    let issued: readonly Issued[] = [];
    // The watch asks once; all others are the proxy's.
    while (issued.length - before < 2 + renewals) {
      for (let count = 0; count < 10; count++) {
        await ask();
        requests += 1;
        await sleep(50, signal);
      }
      issued = await audit(node, 'jane');
    }
    const refused = failed.filter((failure) => !failure.includes(closedByKubectl));
    t.same(refused, [], `none of ${requests} requests of one kubectl is refused`);
    t.ok(failed.length <= renewals, `and ${failed.length} ended with kubectl's own connections`);
    t.equal(
      new Set(issued.map(({ serial }) => serial)).size,
      issued.length,
      'each with a certificate of its own',
    );
    t.equal(watch.child.exitCode, null, `a watch outlives its certificate: ${watch.output}`);
    t.match(await kubectl.run('create', 'configmap', 'news'), { code: 0 });
    await poll(() => (watch.output.includes('configmap/news') ? true : undefined), {
      ...{ everyMs: 50, timeoutMs: 30_000, what: 'the news in the watch' },
    });
    t.comment(`${requests} requests with ${issued.length - before} credentials of ${ttlSeconds} s`);
  });

  // What else it is good for, and what not, is in test/mesh/debug-client-certificate.test.ts.
  await t.test('kubectl works from elsewhere, with a client certificate of the role admin', async (t) => {
    const issue = async (role: string): Promise<string> => {
      const { code, stdout, stderr } = await node.dbg(['client-certificate', '--role', role, 'ann']);
      t.match([code, stderr], [0, '']);
      const file = path.join(node.folder, `${role}.pem`);
      writeFileSync(file, stdout, { mode: 0o600 });
      return file;
    };
    const ask = (file: string, ...args: string[]) =>
      node.dbg(['--endpoint', `127.0.0.1:${port}`, '--cert', file, ...args]);
    const [reader, admin] = [await issue('read'), await issue('admin')];
    t.match(await ask(reader, 'logs', '-n', '1', 'kube.kubelet'), { code: 0, stdout: /./ });
    t.match(await ask(reader, 'condition', 'RemoteDebugReady'), { code: 0 });
    const takesAdmin = /^dbg: client ann may not do this: it takes a certificate of the role admin\n$/;
    t.match(await ask(reader, 'kubectl', 'get', 'nodes'), { code: 1, stdout: '', stderr: takesAdmin });
    t.match(await ask(admin, 'kubectl', 'get', 'nodes', '-o', 'name'), { code: 0, stdout: /^node\// });
    t.match(await audit(node, 'ann'), [
      { groups: ['hamlet:debug-read'], refused: '' },
      { groups: ['hamlet:debug-admin'], refused: '' },
    ]);
  });

  // For those who may not be masters.
  const readers = ['clusterrolebinding', 'readers', '--clusterrole=view', '--group=readers'];
  await node.kubectl(['create', ...readers]);
  await node.stop();
  configure(node, { debug: { remote, allowMasters: false, identities: ['ops:*'] } });
  node.start();
  await node.ready();

  await t.test('nobody is made a master, or anybody but those who are allowed', async (t) => {
    const words = 'this node issues no credentials for';
    const noMasters = new RegExp(`${words} system:masters \\(debug\\.allowMasters\\); ask for other groups`);
    const before = (await audit(node, 'jane')).length;
    const ofDbg = await node.dbg(['kubectl', 'get', 'pods']);
    t.match(ofDbg, { code: 1, stdout: '', stderr: noMasters }, 'dbg kubectl');
    const ofPlugin = await plainKubectl(kubectlCommand, mine).run('get', 'pods');
    t.match(ofPlugin, { code: 1, stdout: '', stderr: noMasters }, 'the plugin that kubectl calls');
    const asked = (...args: string[]) => node.dbg(['kubeconfig', ...args]);
    const other = await asked('--id', 'jane', '--groups', 'readers');
    t.match(other, { code: 1, stdout: '', stderr: `${words} "jane" (debug.identities); ` }, 'another name');

    const given = await asked('--id', 'ops:jane', '--groups', 'readers');
    t.equal(given.code, 0, given.stderr);
    const file = path.join(node.folder, 'ops');
    writeFileSync(file, given.stdout, { mode: 0o600 });
    const kubectl = plainKubectl(kubectlCommand, file);
    t.match(await kubectl.run('get', 'configmaps'), { code: 0, stdout: /news/ });
    const secrets = await kubectl.run('get', 'secrets');
    t.match(secrets, { code: 1, stderr: /User "ops:jane" cannot list resource "secrets"/ });

    const records = (await audit(node, 'jane')).slice(before);
    const refused = { serial: '', ends: '' };
    // client-go asks more than once before it gives up.
    const [last, ...masters] = records.reverse();
    t.match(last, { ...refused, groups: ['readers'], refused: 'debug.identities' }, 'refusals are on record');
    t.ok(masters.length > 0);
    for (const record of masters) {
      t.match(record, { ...refused, groups: ['system:masters'], refused: 'debug.allowMasters' });
    }
    t.match(await audit(node, 'ops:jane'), [{ refused: '', serial: /^[0-9a-f]+$/ }]);
    t.match((await node.dbg(['audit'])).stdout, /jane +system:masters +- +refused \(debug\.allowMasters\)\n/);
  });

  await t.test('the debug API is turned off whole', async (t) => {
    t.equal(await answerAt({ path: socket }), 'open');
    t.equal(await answerAt({ port: node.ports.debug }), 'open');
    await poll(async () => ((await answerAt({ port })) === 'open' ? true : undefined), {
      ...{ everyMs: 50, timeoutMs: 30_000, what: 'the port for other machines' },
    });
    await node.stop();
    // As a run leaves it that was killed.
    writeFileSync(socket, '');
    configure(node, { debug: { enabled: false, remote } });
    node.start();
    await node.ready();
    t.equal(existsSync(socket), false, 'no socket');
    t.equal(await answerAt({ port: node.ports.debug }), 'ECONNREFUSED');
    t.equal(await answerAt({ port }), 'ECONNREFUSED');
    const asked = await node.dbg(['condition']);
    t.match(asked, { code: 1, stderr: /^dbg: no node answers at .*debug\.enabled: false it answers nobody/ });
    const list = await node.hamlet(['pki', 'list']);
    t.match(list.stderr, /the debug API is turned off in the configuration; set debug\.enabled to true/);
    t.not(list.code, 0);
  });
});
