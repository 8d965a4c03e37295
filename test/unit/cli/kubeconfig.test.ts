import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import type { GetDebugKubeconfigRequest } from '../../../src/gen/hamlet/debug/v1/debug.js';
import { kubeconfig } from '../../../src/workers/certs/kubeconfig.js';
import { dbg, serveDebugApi } from './fixture.js';

t.setTimeout(120_000);

const expiresAtMs = Date.parse('2030-01-02T03:04:05Z');

interface Exec {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
}

async function startNode(t: Test) {
  const asked: GetDebugKubeconfigRequest[] = [];
  const given = kubeconfig({
    port: 6443,
    user: 'jane',
    authority: 'CA\n',
    client: { certificate: 'CERT\n', privateKey: 'KEY\n' },
  });
  const endpoint = await serveDebugApi(t, {
    getDebugKubeconfig: async (request) => {
      asked.push(request);
      return { kubeconfig: given, expiresAtMs, kubectlCommand: [] };
    },
  });
  return { asked, given, endpoint };
}

const request = { id: 'jane', groups: ['dev', 'ops'], ttlSeconds: 900 };
const options = ['--id', 'jane', '--groups', 'dev,ops', '--ttl', '15m'];

void t.test('a kubeconfig is for whom it is asked for', async (t) => {
  const { asked, given, endpoint } = await startNode(t);
  const { code, stdout } = await dbg(['kubeconfig', ...options], { endpoint });
  t.same([code, stdout.toString(), asked], [0, given, [request]]);
  for (const [args, message] of [
    [['--ttl', '1d'], /"1d" is no duration/],
    [['--ttl', '0s'], /no duration/],
    [['--groups', 'a,,b'], /--groups takes names/],
    [['x'], /too much/],
  ] as const) {
    const wrong = await dbg(['kubeconfig', ...args], { endpoint });
    t.match([wrong.code, wrong.stderr], [2, message]);
  }
});

void t.test('a credential is in the form that kubectl takes', async (t) => {
  const { asked, endpoint } = await startNode(t);
  const answer = async (env: NodeJS.ProcessEnv) =>
    JSON.parse((await dbg(['credential', ...options], { endpoint, env })).stdout.toString()) as unknown;
  t.same(await answer({}), {
    apiVersion: 'client.authentication.k8s.io/v1beta1',
    kind: 'ExecCredential',
    status: {
      // A minute before its end.
      expirationTimestamp: '2030-01-02T03:03:05.000Z',
      clientCertificateData: 'CERT\n',
      clientKeyData: 'KEY\n',
    },
  });
  t.same(asked, [request]);
  const apiVersion = 'client.authentication.k8s.io/v1';
  t.match(await answer({ KUBERNETES_EXEC_INFO: JSON.stringify({ apiVersion }) }), { apiVersion });
});

void t.test('merging leaves the rest of a kubeconfig alone, and what it adds works by itself', async (t) => {
  const { asked, endpoint } = await startNode(t);
  const file = path.join(t.testdir(), 'kube', 'config');
  const env = { KUBECONFIG: `:${file}:/nosuch` };
  const merge = () => dbg(['kubeconfig', '--merge', ...options], { endpoint, env });
  t.match(await merge(), { code: 0, stdout: Buffer.from(`${file} has the context "hamlet" now\n`) });
  t.equal(statSync(file).mode & 0o777, 0o600);
  const fresh = readFileSync(file, 'utf8');
  t.notMatch(fresh, /S0VZ/, 'no key is kept');

  writeFileSync(
    file,
    `# mine
apiVersion: v1
kind: Config
clusters:
  - name: other # far away
    cluster: { server: "https://other:6443" }
  - { name: hamlet, cluster: { server: "https://old" } }
users: []
contexts:
  - { name: other, context: { cluster: other, user: me } }
current-context: other
preferences: { colors: true }
`,
  );
  t.match(await merge(), { code: 0 });
  const merged = readFileSync(file, 'utf8');
  t.match(merged, /^# mine\n/);
  t.match(merged, /# far away/);
  const config = parse(merged) as { users: [{ user: { exec: Exec } }] };
  t.match(config, {
    clusters: [{ name: 'other' }, { name: 'hamlet', cluster: { server: 'https://127.0.0.1:6443' } }],
    users: [{ name: 'hamlet' }],
    contexts: [{ name: 'other' }, { name: 'hamlet', context: { cluster: 'hamlet', user: 'hamlet' } }],
    'current-context': 'hamlet',
    preferences: { colors: true },
  });

  const { command, args } = config.users[0].user.exec;
  asked.length = 0;
  t.equal(args.includes(endpoint), true);
  const run = await dbg(args.slice(1), { endpoint: '127.0.0.1:1' });
  t.match(JSON.parse(run.stdout.toString()), { kind: 'ExecCredential' });
  t.equal(command, process.execPath);
  t.ok(existsSync(args[0] ?? ''));
  t.same(asked, [request], 'for the same identity');

  writeFileSync(file, ': [broken');
  const refused = await merge();
  t.match([refused.code, refused.stderr], [1, /is no kubeconfig/]);
  t.equal(readFileSync(file, 'utf8'), ': [broken');
});

void t.test('merging keeps a link, and the mode and the owner of what it leads to', async (t) => {
  const { endpoint } = await startNode(t);
  const folder = t.testdir({ dotfiles: { kube: 'kind: Config\n' }, kube: {} });
  const [link, target] = [path.join(folder, 'kube', 'config'), path.join(folder, 'dotfiles', 'kube')];
  const merge = (file = link) =>
    dbg(['kubeconfig', '--merge', ...options], { endpoint, env: { KUBECONFIG: file } });
  symlinkSync('../dotfiles/link', link);
  symlinkSync('kube', path.join(folder, 'dotfiles', 'link'));
  const asRoot = process.geteuid?.() === 0;
  const owner = asRoot ? { uid: 65_534, gid: 65_534 } : { uid: process.getuid?.(), gid: process.getgid?.() };
  if (asRoot) chownSync(target, 65_534, 65_534);
  // More than a usual umask leaves.
  chmodSync(target, 0o666);
  t.match(await merge(), { code: 0, stdout: Buffer.from(`${link} has the context "hamlet" now\n`) });
  t.equal(readlinkSync(link), '../dotfiles/link', 'the link is one still');
  t.match(lstatSync(target), { ...owner, mode: 0o100666 });
  t.match(readFileSync(target, 'utf8'), /^kind: Config\n[^]*name: hamlet/);
  t.same(
    readdirSync(path.join(folder, 'dotfiles')).sort(),
    ['kube', 'link'],
    'and nothing is left beside it',
  );

  const toNothing = path.join(folder, 'kube', 'new');
  symlinkSync('../dotfiles/new', toNothing);
  t.match(await merge(toNothing), { code: 0 });
  t.equal(lstatSync(path.join(folder, 'dotfiles', 'new')).mode, 0o100600, 'a link to nothing is followed');
  t.ok(lstatSync(toNothing).isSymbolicLink());

  const round = path.join(folder, 'kube', 'round');
  symlinkSync('round', round);
  t.match(await merge(round), { code: 1, stderr: /^dbg: cannot write .*round/ });
});
