import t from 'tap';
import { checkKill, checkOrder, checkStart, checkUpgrade } from './checks.js';
import { Machine, address, fetchPackages } from './machine.js';

const pid1 = '/usr/lib/hamlet/init/pid1';
const { skip } = await fetchPackages(t, []);

interface KubernetesNode {
  readonly metadata: { readonly name: string };
  readonly status: { readonly nodeInfo: Readonly<Record<string, string>> };
}

void t.test('an appliance whose first process is pid1', { skip }, async (t) => {
  await using machine = await Machine.start({
    init: [pid1],
    empty: ['/data', '/consensus', '/containerd', '/kubernetes'],
    settings: { layout: 'appliance' },
  });

  await t.test('it starts the node', (t) => checkStart(t, machine, () => machine.console));

  await t.test('the machine has the names of the node', async (t) => {
    const { stdout } = await machine.dbg(['kubectl', 'get', 'nodes', '--output=json']);
    const [node] = (JSON.parse(stdout) as { items: KubernetesNode[] }).items;
    const name = node?.metadata.name ?? '';
    const machineId = name.slice('hamlet-'.length);
    t.equal((await machine.output(['hostname'])).trim(), name);
    t.equal(machine.read('/etc/hostname'), `${name}\n`);
    t.match(machine.read('/etc/hosts'), `\n${address} ${name}\n`);
    t.equal(machine.read('/etc/machine-id'), `${machineId}\n`);
    t.match(machine.read('/etc/os-release'), /^ID=hamlet$/m);
    t.match(
      node?.status.nodeInfo,
      { machineID: machineId, osImage: /^Hamlet \d/ },
      'Kubernetes has them too',
    );
  });

  await t.test('killed, it is started again and goes on with what runs', (t) => checkKill(t, machine));

  await t.test('SIGHUP puts a new version in place', (t) =>
    checkUpgrade(t, machine, () => machine.kill(1, 'HUP')),
  );

  await t.test('SIGTERM stops it in order, and the machine with it', async (t) => {
    await machine.kill(1, 'TERM');
    t.equal(await machine.ended(), 0);
    checkOrder(t, machine.console);
  });
});

void t.test('it mounts what is missing', { skip }, async (t) => {
  const bare = 'for place in /sys /run /dev /proc; do umount --recursive --lazy $place; done; exec "$@"';
  await using machine = await Machine.start({
    init: ['sh', '-c', bare, 'sh', pid1, 'sh', '-c', 'cat /proc/self/mounts; kill -TERM 1; sleep 100'],
  });
  await machine.ended();
  for (const mount of ['proc /proc', 'sysfs /sys', 'devtmpfs /dev', 'tmpfs /run', 'cgroup2 /sys/fs/cgroup'])
    t.match(machine.console, new RegExp(`^${mount} `, 'm'));
});
