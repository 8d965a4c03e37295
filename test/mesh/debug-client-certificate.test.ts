import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { certs } from '../../src/ipc/services/certs.js';
import { type Condition, host } from '../../src/ipc/services/host.js';
import { logs } from '../../src/ipc/services/logs.js';
import { JobPool } from '../../src/jobs/pool.js';
import { poll } from '../../src/lib/time.js';
import { defaultLifetimes } from '../../src/platform/lifetimes.js';
import { AuditTrail } from '../../src/workers/certs/audit.js';
import { RotationControl } from '../../src/workers/certs/rotation-control.js';
import { CertsService } from '../../src/workers/certs/service.js';
import { facts } from '../unit/certs/fixtures.js';
import { dbg, dbgFile, environment } from '../unit/cli/fixture.js';
import { DebugNode, freePort } from './debug-fixture.js';
import { linesIn, newPki } from './debug-remote-fixture.js';

t.setTimeout(180_000);

const jobs = new JobPool();
t.teardown(() => jobs[Symbol.asyncDispose]());

/** What `dbg audit -o json` says of a credential. */
interface Issued {
  readonly id: string;
  readonly groups: readonly string[];
  readonly serial: string;
  readonly transport: string;
  readonly client: string;
  readonly clientSerial: string;
}

void t.test('dbg issues a certificate, and it is good for its role until it ends', async (t) => {
  const folder = t.testdir();
  const [file, port] = [path.join(folder, 'log'), await freePort()];
  const node = await DebugNode.start(undefined, { remotePort: port, logFd: openSync(file, 'a') });
  t.teardown(() => node[Symbol.asyncDispose]());
  await node.thread.ready;
  // The certs worker's own service, on a PKI that is in no etcd.
  const service = new CertsService({
    ...{ jobs, apiserverPort: 6443, lifetimes: defaultLifetimes, facts, secretsFolder: '/run/secrets' },
    policy: { allowMasters: true, identities: ['*'] },
    audit: new AuditTrail(path.join(folder, 'audit.jsonl')),
    now: Date.now,
    rotation: new RotationControl(0),
    checkSecrets: async () => 'done',
  });
  service.state = { kind: 'ready', pki: await newPki() };
  await node.serve('certs', certs, service.handlers);
  let remote = '';
  const ready: Condition = { name: 'NodeReady', status: 'true', reason: '', message: '', sinceMs: 1 };
  await node.serve('main', host, {
    condition: () => ready,
    kubectl: () => ({ command: ['/bin/true'] }),
    setConditions({ conditions: [first] }) {
      remote = first?.status ?? '';
      return {};
    },
  });
  await node.serve('logs', logs, {
    async *follow(_request, { signal }) {
      yield { records: [], positions: [{ component: 'etcd', next: 1 }] };
      if (!signal.aborted) await once(signal, 'abort');
    },
  });
  await poll(() => remote === 'true' || undefined, {
    ...{ everyMs: 20, timeoutMs: 30_000, what: 'the listener for other machines' },
  });

  const endpoint = `unix:${node.socket}`;
  const elsewhere = `127.0.0.1:${port}`;
  const ask = async (args: readonly string[], options: Parameters<typeof dbg>[1]) => {
    const { code, stdout, stderr } = await dbg(args, options);
    return { code, stdout: stdout.toString(), stderr };
  };
  const onNode = (...args: string[]) => ask(args, { endpoint });
  const issue = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await onNode('client-certificate', ...args);
    t.match([code, stderr], [0, ''], args.join(' '));
    const pem = path.join(folder, `${args.at(-1)}.pem`);
    writeFileSync(pem, stdout, { mode: 0o600 });
    return pem;
  };
  const away = (pem: string, ...args: string[]) => ask(args, { endpoint: elsewhere, env: { DBG_CERT: pem } });

  const reader = await issue('joe');
  const admin = await issue('--role', 'admin', '--ttl', '1h', 'ann');
  const takesAdmin = /^dbg: client joe may not do this: it takes a certificate of the role admin\n$/;
  const refused = { code: 1, stdout: '', stderr: takesAdmin };
  const isLocal = { code: 1, stdout: '', stderr: /may not do this: it is done on the node itself\n$/ };
  for (const [args, ofReader, ofAdmin] of [
    [['condition', 'NodeReady'], { code: 0 }, { code: 0 }],
    [['certs'], { code: 0, stdout: /debug-server/ }, { code: 0, stdout: /debug-server/ }],
    [['kubeconfig'], refused, { code: 0, stdout: /client-key-data/ }],
    [['credential'], refused, { code: 0, stdout: /clientKeyData/ }],
    [['kubectl', 'get', 'pods'], refused, { code: 0, stderr: '' }],
    [['audit'], refused, { code: 0, stdout: / ann / }],
    [['client-certificate', 'eve'], isLocal, isLocal],
    [['rotate-ca'], refused, { code: 1, stderr: /^dbg: (?!client)/ }],
  ] as const) {
    t.match(await away(reader, ...args), ofReader, `a reader: ${args.join(' ')}`);
    t.match(await away(admin, ...args), ofAdmin, `an admin: ${args.join(' ')}`);
  }
  t.match(await away('', 'condition', 'NodeReady'), { code: 1 }, 'nobody gets in without one');

  for (const [args, code, stderr] of [
    [['--role', 'root', 'eve'], 2, /"root" is none of the values of --role: read, admin/],
    [['--ttl', '25h', 'eve'], 1, /lasts 86400 seconds at most/],
    [['e,ve'], 1, /name has to be 1 to 64 letters/],
  ] as const) {
    t.match(await onNode('client-certificate', ...args), { code, stdout: '', stderr }, args.join(' '));
  }

  // Long enough for a busy machine to start dbg twice.
  const brief = await issue('--ttl', '20s', 'bob');
  const env = environment({ endpoint: elsewhere, env: { DBG_CERT: brief } });
  const child = spawn(process.execPath, [dbgFile, 'logs', '-f', 'etcd'], { env });
  t.teardown(() => child.kill());
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  child.stdout.resume();
  const [code] = (await once(child, 'close')) as [number | null];
  t.equal(code, 1, 'what is open ends with the certificate');
  t.match(stderr, /trying again\n[^]*dbg: the certificate .*bob\.pem ended on .* on the node issues another/);
  t.match(await away(brief, 'condition', 'NodeReady'), { code: 1, stderr: /bob\.pem ended on / });

  const all = JSON.parse((await onNode('audit', '-o', 'json')).stdout) as Issued[];
  const [joe, ann, bob] = ['joe', 'ann', 'bob'].map((id) => all.filter((issued) => issued.id === id));
  t.match(joe, [{ groups: ['hamlet:debug-read'], transport: 'unix' }]);
  t.match(ann, [{ groups: ['hamlet:debug-admin'] }]);
  t.match(bob, [{ groups: ['hamlet:debug-read'] }]);
  t.same(
    all.filter(({ id }) => id === 'eve'),
    [],
    'nothing is issued that was refused',
  );
  const byAnn = all.filter(({ client }) => client === 'ann');
  t.equal(byAnn.length, 3, 'kubeconfig, credential and kubectl');
  for (const { transport, clientSerial } of byAnn)
    t.same([transport, clientSerial], ['tls', ann?.[0]?.serial]);
  t.same(
    linesIn(file).filter(({ level }) => level > 40),
    [],
    'nothing fell over',
  );
});
