import { mkdirSync, writeFileSync } from 'node:fs';
import type { NetworkInterfaceInfo } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { inspectMachine, requireAddress, type MachineSources } from '../../../src/platform/machine.js';

const header = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT  \n';
const row = (iface: string, destination: string, flags: string, metric: number, mask: string) =>
  `${iface}\t${destination}\t010200C0\t${flags}\t0\t0\t${metric}\t${mask}\t0\t0\t0   \n`;
const defaultRow = (iface: string, metric = 0, flags = '0003') =>
  row(iface, '00000000', flags, metric, '00000000');
const lan = row('eth0', '000200C0', '0001', 0, '00FFFFFF');

function address(text: string, internal = false): NetworkInterfaceInfo {
  const family = text.includes(':') ? 'IPv6' : 'IPv4';
  return {
    address: text,
    family,
    internal,
    netmask: '',
    mac: '',
    cidr: null,
    scopeid: 0,
  };
}

const interfaces = {
  lo: [address('127.0.0.1', true)],
  hamlet0: [address('10.244.0.1')],
  eth0: [address('fe80::1'), address('192.0.2.2'), address('192.0.2.3')],
  wlan0: [address('198.51.100.7')],
};

/** A machine that consists of these files and interfaces. */
function machine(
  t: Test,
  files: Readonly<Record<string, string>>,
  ifaces: typeof interfaces | object = interfaces,
) {
  const root = t.testdir();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    writeFileSync(path.join(root, name), content);
  }
  const below = (name: string) => path.join(root, name);
  const sources: MachineSources = {
    proc: below('proc'),
    sys: below('sys'),
    run: below('run'),
    interfaces: () => ifaces as typeof interfaces,
  };
  return (configured?: string, ignored?: readonly string[]) => inspectMachine(configured, ignored, sources);
}

const routed = (t: Test, ...rows: readonly string[]) =>
  machine(t, { 'proc/net/route': header + rows.join('') });

void t.test('the node has the first IPv4 address of the default route’s interface', async (t) => {
  const inspect = routed(t, lan, defaultRow('eth0'));
  t.match(inspect(), { address: '192.0.2.2', defaultInterface: 'eth0' });
  t.equal(inspect('203.0.113.9').address, '203.0.113.9', 'unless it is configured');
});

void t.test('of several default routes the one with the lowest metric counts', async (t) => {
  const inspect = routed(t, defaultRow('eth0', 600), defaultRow('wlan0', 50), defaultRow('eth0', 1_024));
  t.match(inspect(), { address: '198.51.100.7', defaultInterface: 'wlan0' });
});

void t.test('a line without a gateway can be the default route', async (t) => {
  t.equal(routed(t, defaultRow('wlan0', 0, '0001'))().defaultInterface, 'wlan0');
});

void t.test('what is no default route is not taken for one', async (t) => {
  const halfOfAll = row('tun0', '00000000', '0003', 0, '00000080');
  const notInUse = defaultRow('tun0', 0, '0002');
  const refusing = defaultRow('*', 0, '0201');
  for (const other of [halfOfAll, notInUse, refusing]) {
    t.equal(routed(t, other, defaultRow('eth0', 100))().defaultInterface, 'eth0', other);
  }
});

void t.test('without a default route any address counts, but not the pods’ own bridge', async (t) => {
  const inspect = routed(t, lan);
  t.match(inspect(undefined, ['hamlet0']), { address: '192.0.2.2', defaultInterface: undefined });
  t.match(machine(t, {}, { lo: interfaces.lo, hamlet0: interfaces.hamlet0 })(undefined, ['hamlet0']), {
    address: undefined,
  });
});

void t.test('an interface that has no address yet makes no other one count', async (t) => {
  const inspect = machine(t, { 'proc/net/route': header + defaultRow('eth0') }, { ...interfaces, eth0: [] });
  const found = inspect();
  t.match(found, { address: undefined, defaultInterface: 'eth0' });
  t.throws(() => requireAddress(found), { code: 'FAILED_PRECONDITION', message: /node\.address/ });
  t.equal(requireAddress(inspect('192.0.2.9')), '192.0.2.9');
});

void t.test('a capability is looked for in what is effective', async (t) => {
  const status = (effective: string) => `Name:\tnode\nCapPrm:\t000001ffffffffff\nCapEff:\t${effective}\n`;
  const may = (effective: string) => machine(t, { 'proc/self/status': status(effective) })().mayRaiseLimits;
  t.equal(may('000001ffffffffff'), true);
  t.equal(may('000001fffeffffff'), false, 'all but CAP_SYS_RESOURCE');
  t.equal(may('0000000001000000'), true, 'CAP_SYS_RESOURCE alone');
  t.equal(may('0000000000000000'), false);
});

void t.test('cgroups are v2, v1, or v1 with a v2 tree beside it', async (t) => {
  const cgroups = (files: Readonly<Record<string, string>>) => machine(t, files)().cgroups;
  t.equal(cgroups({ 'sys/fs/cgroup/cgroup.controllers': 'cpu memory pids\n' }), 'v2');
  t.equal(cgroups({ 'sys/fs/cgroup/unified/cgroup.controllers': 'hugetlb\n' }), 'hybrid');
  t.equal(cgroups({ 'sys/fs/cgroup/memory/tasks': '' }), 'v1');
});

void t.test('what the kernel and init have switched on is read', async (t) => {
  const on = machine(t, {
    'run/systemd/system/.keep': '',
    'proc/sys/net/bridge/bridge-nf-call-iptables': '1\n',
    'sys/module/apparmor/parameters/enabled': 'Y\n',
  });
  t.match(on(), { cgroupDriver: 'systemd', bridgeCallsIptables: true, apparmor: true });
  const off = machine(t, {
    'proc/sys/net/bridge/bridge-nf-call-iptables': '0\n',
    'sys/module/apparmor/parameters/enabled': 'N\n',
  });
  t.match(off(), { cgroupDriver: 'cgroupfs', bridgeCallsIptables: false, apparmor: false });
  t.match(machine(t, {})(), { bridgeCallsIptables: false, apparmor: false, mayRaiseLimits: false });
});

void t.test('this machine can be inspected', async (t) => {
  const found = inspectMachine(undefined);
  t.ok(['v1', 'hybrid', 'v2'].includes(found.cgroups));
  t.same(structuredClone(found), found, 'and what is found can be handed to a worker thread');
});

void t.test('Amazon’s machines are known by their vendor or their firmware', async (t) => {
  const dmi = (files: Readonly<Record<string, string>>) =>
    machine(t, Object.fromEntries(Object.entries(files).map(([k, v]) => [`sys/class/dmi/id/${k}`, v])))();
  t.ok(dmi({ sys_vendor: 'Amazon EC2\n', bios_version: '1.0\n' }).isEc2, 'Nitro');
  t.ok(dmi({ sys_vendor: 'Xen\n', bios_version: '4.11.amazon\n' }).isEc2, 'Xen');
  t.notOk(dmi({ sys_vendor: 'Dell Inc.\n', bios_version: '2.1\n' }).isEc2);
  t.notOk(dmi({}).isEc2, 'a machine that says nothing of itself');
});
