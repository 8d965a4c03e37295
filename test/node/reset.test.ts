import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { poll } from '../../src/lib/time.js';
import { freePorts, run, TestNode, type Result } from './support/hamlet.js';
import { testImage, writeTestImage } from './support/image.js';
import { compareSnapshots, machineSnapshot } from './support/machine-snapshot.js';

const main = fileURLToPath(new URL('../../bundle/main.js', import.meta.url));

/** Settings that a node changes, and values that it has to change. */
const sysctls = {
  'vm/overcommit_memory': '0',
  'kernel/panic': '0',
  'kernel/panic_on_oops': '0',
  'net/ipv4/conf/all/route_localnet': '0',
  'net/ipv4/ip_forward': '0',
};

const network = {
  bridge: 'hamlet-r0',
  podCidr: '10.201.0.0/24',
  serviceCidr: '10.202.0.0/16',
  clusterDns: ['10.202.0.10'],
};

void t.test('a node that was killed with everything running', async (t) => {
  await startOtherSoftware(t);
  t.teardown(setSysctls());
  const before = machineSnapshot();
  const node = await startNode(t);
  await createPods(node);

  const changed = new Set(compareSnapshots(before, machineSnapshot()).map((line) => line.split(/[ :]+/)[1]));
  const parts = [
    'cgroups',
    'iptables',
    'links',
    'mounts',
    'networkNamespaces',
    'processes',
    'sharedFiles',
    'sysctls',
  ];
  for (const part of parts) t.ok(changed.has(part), `the node has left its traces in: ${part}`);

  const refused = await node.reset();
  t.equal(refused.code, 1, 'it is not reset while it runs');
  t.match(
    refused.stderr,
    new RegExp(`stop the node .*process ${node.pid}\\b`),
    'and told which process that is',
  );
  t.match(await node.kubectl(['get', 'pod', 'worker']), /Running/, 'nothing has happened to it');

  await node.stop('SIGKILL');
  const components = machineSnapshot().processes.filter((line) => line.includes(node.folder));
  t.ok(components.length >= 7, 'the components and the shims go on without Hamlet');
  const interrupted = await resetInterrupted(node);
  t.equal(interrupted.code, 1, interrupted.stdout);
  t.match(interrupted.stderr, /interrupted; run it again/, 'a reset that is interrupted says what to do');
  const { code, stdout, stderr } = await node.reset();
  t.equal(code, 0, stdout + stderr);
  t.comment(stdout);
  // The folder of the deleted one is there until the kubelet tidies up, every other second.
  t.match(stdout, /^ok {2}pods .*[23] pods/m, 'and the pods');
  t.same(compareSnapshots(before, machineSnapshot()), [], 'the machine is as before');
  t.notOk(existsSync(path.join(node.folder, 'state')), 'the state is gone');
  t.notOk(existsSync(node.runDir), 'so is the run-time folder');
  t.ok(existsSync(path.join(node.imagesDir, 'busybox.tar')), 'a folder of images outside of it is not');

  const again = await node.reset();
  t.equal(again.code, 0, 'a second reset is no error');
  t.match(again.stdout, /nothing to take away/, 'and says that there is nothing');
});

void t.test('a node that was stopped, and a reset that is interrupted again and again', async (t) => {
  t.teardown(setSysctls());
  const before = machineSnapshot();
  const node = await startNode(t);
  await createPods(node);
  t.equal(await node.stop('SIGTERM'), 0, 'stopped');

  const codes: (number | null)[] = [];
  for (const kind of ['pods', 'mounts', 'network', 'firewall', 'pod logs']) {
    codes.push(await resetKilledAfter(node, kind));
  }
  t.ok(codes.includes(null), `some of them were killed on their way: ${codes.join(', ')}`);
  const { code, stdout, stderr } = await node.reset();
  t.equal(code, 0, stdout + stderr);
  t.same(compareSnapshots(before, machineSnapshot()), [], 'the machine is as before');
  t.notOk(existsSync(path.join(node.folder, 'state')));
});

void t.test('what cannot be taken away is named, and the rest goes', async (t) => {
  const node = await TestNode.create();
  t.teardown(() => rmSync(node.folder, { recursive: true, force: true }));
  const state = path.join(node.folder, 'state');
  const disk = path.join(state, 'images', 'disk');
  mkdirSync(disk, { recursive: true });
  mkdirSync(path.join(state, 'etcd'));
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', disk]);
  t.teardown(() => run('umount', ['-q', disk]));
  writeFileSync(path.join(disk, 'data'), 'precious');

  const first = await node.reset();
  t.equal(first.code, 1);
  t.match(first.stdout, new RegExp(`${disk} is mounted, and not by the node; unmount it`));
  t.match(first.stderr, /1 thing could not be taken away/);
  t.equal(readFileSync(path.join(disk, 'data'), 'utf8'), 'precious', 'what is mounted there is untouched');
  t.notOk(existsSync(path.join(state, 'etcd')), 'the rest is gone');
  execFileSync('umount', [disk]);
  const second = await node.reset();
  t.equal(second.code, 0, second.stdout + second.stderr);
  t.notOk(existsSync(state));
});

void t.test('it asks on a terminal', async (t) => {
  const node = await TestNode.create();
  t.teardown(() => rmSync(node.folder, { recursive: true, force: true }));
  const etcd = path.join(node.folder, 'state', 'etcd');
  mkdirSync(etcd, { recursive: true });

  const unasked = await run(process.execPath, [main, 'reset', '--config', node.config]);
  t.equal(unasked.code, 1, 'without a terminal');
  t.match(unasked.stderr, /no terminal to ask on; "hamlet reset --yes"/);
  t.ok(existsSync(etcd));

  const no = await onTerminal(node, 'n\n');
  t.equal(no.code, 1, 'a no');
  t.match(no.stdout, /state {2,}\S+state \(\d+ KB\)/, 'it says what there is');
  t.match(no.stdout, /nothing was taken away/);
  t.ok(existsSync(etcd));

  const yes = await onTerminal(node, 'y\n');
  t.equal(yes.code, 0, yes.stdout);
  t.notOk(existsSync(etcd));
});

/** A node of its own that is Ready, and goes with the test whatever becomes of it. */
async function startNode(t: Test): Promise<TestNode> {
  const node = await TestNode.create({ network });
  t.teardown(() => node.remove());
  writeTestImage(path.join(node.imagesDir, 'busybox.tar'));
  node.start();
  await node.ready();
  return node;
}

/** Pods with all that leaves traces: volumes in memory and with a sub-path, a host port, a service; and a deleted one. */
async function createPods(node: TestNode): Promise<void> {
  const create = (object: object) => node.kubectl(['create', '-f', '-'], { input: JSON.stringify(object) });
  await create(policy);
  await create(service);
  const [hostPort] = await freePorts(1);
  await create(pod('worker', { ports: [{ containerPort: 8080, hostPort }] }));
  await create(pod('stubborn', { command: ['sh', '-c', 'trap "" TERM; while true; do sleep 1; done'] }));
  await create(pod('deleted', {}));
  for (const name of ['worker', 'stubborn', 'deleted']) await node.waitForPod(name);
  await node.kubectl(['delete', 'pod', 'deleted', '--grace-period=1']);
}

const policy = {
  apiVersion: 'policy/v1beta1',
  kind: 'PodSecurityPolicy',
  metadata: { name: 'host-ports' },
  spec: {
    hostPorts: [{ min: 1, max: 65_535 }],
    seLinux: { rule: 'RunAsAny' },
    runAsUser: { rule: 'RunAsAny' },
    supplementalGroups: { rule: 'RunAsAny' },
    fsGroup: { rule: 'RunAsAny' },
    volumes: ['*'],
  },
};

const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'workers' },
  spec: { selector: { app: 'reset' }, ports: [{ port: 80, targetPort: 8080 }] },
};

function pod(name: string, container: object): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: 'reset' } },
    spec: {
      volumes: [
        { name: 'memory', emptyDir: { medium: 'Memory' } },
        { name: 'disk', emptyDir: {} },
      ],
      containers: [
        {
          name: 'main',
          image: testImage,
          imagePullPolicy: 'Never',
          command: ['sleep', '3600'],
          volumeMounts: [
            { name: 'memory', mountPath: '/memory' },
            { name: 'disk', mountPath: '/disk', subPath: 'part' },
          ],
          ...container,
        },
      ],
    },
  };
}

/** Gives the kernel settings values that a node changes; returns what puts the old ones back. */
function setSysctls(): () => void {
  // Forwarding is not ours to turn off where other software has bridges that need it.
  const hasBridges = readdirSync('/sys/class/net').some((name) =>
    existsSync(`/sys/class/net/${name}/bridge`),
  );
  const names = Object.entries(sysctls).filter(([name]) => !(hasBridges && name === 'net/ipv4/ip_forward'));
  const old = names.map(([name]) => [name, readFileSync(`/proc/sys/${name}`, 'utf8')] as const);
  for (const [name, value] of names) writeFileSync(`/proc/sys/${name}`, value);
  return () => {
    for (const [name, value] of old) writeFileSync(`/proc/sys/${name}`, value);
  };
}

/** The kinds of things in the order in which they go. */
const kinds = [
  'pods',
  'mounts',
  'network',
  'firewall',
  'cgroups',
  'kernel settings',
  'pod logs',
  'shared folders',
];

/** Kills a reset when its line about a kind of thing has come, or one about a later kind. Gives its exit code. */
async function resetKilledAfter(node: TestNode, kind: string): Promise<number | null> {
  const line = new RegExp(`^(ok|!!) {2}(${kinds.slice(kinds.indexOf(kind)).join('|')}) `, 'm');
  const child = spawn(process.execPath, [main, 'reset', '--yes', '--config', node.config], { stdio: 'pipe' });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
    if (line.test(stdout)) child.kill('SIGKILL');
  });
  return new Promise((resolve) => child.once('close', resolve));
}

/** Presses Ctrl-C as soon as a reset has begun: it is still ending the components, which takes them a second or so. */
async function resetInterrupted(node: TestNode): Promise<Result> {
  const child = spawn(process.execPath, [main, 'reset', '--yes', '--config', node.config], { stdio: 'pipe' });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const record = path.join(node.folder, 'state', 'reset.json');
  await poll(() => existsSync(record) || child.exitCode !== null || undefined, {
    everyMs: 5,
    timeoutMs: 30_000,
    what: 'the beginning of the reset',
  });
  child.kill('SIGINT');
  return { code: await ended, stdout, stderr };
}

/** Runs a reset on a terminal of its own: script(1) makes one, and passes on what is typed and the exit code. */
function onTerminal(node: TestNode, typed: string): Promise<Result> {
  const command = `'${process.execPath}' '${main}' reset --config '${node.config}'`;
  return run('script', ['--quiet', '--return', '--command', command, '/dev/null'], { input: typed });
}

/** A containerd of somebody else with a running container, and a namespace and rules that are not the node's. */
async function startOtherSoftware(t: Test): Promise<void> {
  const name = 'somebody-elses';
  // Not t.testdir(): a socket's path has at most 107 characters.
  const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-other-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const socket = path.join(folder, 'containerd.sock');
  const configuration = path.join(folder, 'config.toml');
  const image = path.join(folder, 'busybox.tar');
  writeTestImage(image);
  writeFileSync(
    configuration,
    `version = 2\nroot = "${folder}/root"\nstate = "${folder}/state"\n` +
      'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n' +
      `[grpc]\n  address = "${socket}"\n`,
  );
  const shims = '/run/containerd';
  const hadShims = existsSync(shims);
  t.teardown(() => {
    if (!hadShims) execFileSync('find', [shims, '-depth', '-type', 'd', '-empty', '-delete']);
  });
  // runc makes it for containerd's namespace of that name, and leaves it when the container is gone.
  const cgroups = readdirSync('/sys/fs/cgroup').map((name) => path.join('/sys/fs/cgroup', name, 'default'));
  const hadCgroups = new Set(cgroups.filter((folder) => existsSync(folder)));
  t.teardown(() => {
    for (const folder of cgroups) if (!hadCgroups.has(folder) && existsSync(folder)) rmdirSync(folder);
  });
  const containerd = spawn('containerd', ['--config', configuration], { stdio: 'ignore' });
  t.teardown(async () => {
    const ended = new Promise((resolve) => containerd.once('exit', resolve));
    containerd.kill('SIGTERM');
    await ended;
  });
  const ctr = (...args: string[]) => execFileSync('ctr', ['-a', socket, ...args], { stdio: 'pipe' });
  await poll(() => ctr('version'), { everyMs: 50, timeoutMs: 20_000, what: "the other containerd's answer" });
  ctr('images', 'import', image);
  ctr('run', '--detach', testImage, name, 'sleep', '3600');
  t.teardown(() => {
    ctr('tasks', 'delete', '--force', name);
    ctr('containers', 'delete', name);
  });

  // As "ip netns add" does, but without its mount on the folder, which would stay.
  const namespaces = '/run/netns';
  const namespace = path.join(namespaces, name);
  const hadNamespaces = existsSync(namespaces);
  mkdirSync(namespaces, { recursive: true });
  writeFileSync(namespace, '');
  execFileSync('unshare', [`--net=${namespace}`, 'true']);
  t.teardown(() => {
    execFileSync('umount', [namespace]);
    rmSync(namespace);
    if (!hadNamespaces) rmdirSync(namespaces);
  });
  const rule = ['FORWARD', '-s', '192.0.2.77', '-j', name];
  const hadTable = machineSnapshot().iptables.includes('*filter');
  execFileSync('iptables', ['-N', name]);
  execFileSync('iptables', ['-A', ...rule]);
  t.teardown(() => {
    execFileSync('iptables', ['-D', ...rule]);
    execFileSync('iptables', ['-X', name]);
    if (!hadTable) execFileSync('iptables-restore', { input: '*filter\nCOMMIT\n' });
  });
}
