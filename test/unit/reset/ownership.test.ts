import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { isPodCgroup, podProcesses, type Process } from '../../../src/host/reset/processes.js';
import { readTraces, rememberTraces, type Traces } from '../../../src/host/reset/traces.js';
import type { Config } from '../../../src/platform/config.js';
import { nodeFor } from './fixture.js';

const uid = '6e63030a-75c8-4dfc-8451-5d891c245bfc';
const sandbox = 'a70aa6b6943a790bdafec89d75f1ee265c5c465580dc424d0fd44c134e619f14';
const other = '6ef2b2fe8abbde5ac1885378481541a4854292ecc9828f65b6dfd415b7e65b85';

void t.test("what is the node's is read from its own folders", async (t) => {
  const config = nodeFor(t);
  addPod(config);
  const traces = readTraces(config);
  t.same([...traces.podUids], [uid]);
  t.same([...traces.containerIds], [sandbox]);
  t.same([...traces.networkNamespaces], ['/var/run/netns/cni-1']);
  t.same([...traces.shimSockets], ['/run/containerd/s/44db']);
  t.same([...traces.bridges], ['hamlet0'], 'the bridge of the configuration');
});

void t.test(
  'the bridge of the last run counts too, when the configuration names another one now',
  async (t) => {
    const config = nodeFor(t);
    const folder = path.join(config.paths.cni, 'net.d');
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      path.join(folder, '10-hamlet.conflist'),
      JSON.stringify({ plugins: [{ type: 'bridge', bridge: 'old0' }, { type: 'portmap' }] }),
    );
    t.same([...readTraces(config).bridges], ['hamlet0', 'old0']);
  },
);

void t.test(
  'a second reset knows what the first one knew, when all that it was read from is gone',
  async (t) => {
    const config = nodeFor(t);
    addPod(config);
    const first = readTraces(config);
    rememberTraces(config);
    rmSync(config.paths.kubelet, { recursive: true });
    rmSync(config.paths.run, { recursive: true });
    t.same(readTraces(config), first);
  },
);

void t.test('a damaged or missing file is passed over', async (t) => {
  const config = nodeFor(t);
  addPod(config);
  writeFileSync(path.join(bundle(config), 'config.json'), '{');
  rmSync(path.join(bundle(config), 'address'));
  const traces = readTraces(config);
  t.same([...traces.containerIds], [sandbox]);
  t.same([...traces.shimSockets], []);
  t.notOk(existsSync(path.join(config.paths.state, 'reset.json')), 'looking writes nothing');
});

void t.test("a pod's cgroup is known by its name under either driver", async (t) => {
  const traces = tracesOf({ podUids: [uid], containerIds: [sandbox] });
  const names = {
    [`pod${uid}`]: true,
    [`kubepods-besteffort-pod${uid.replaceAll('-', '_')}.slice`]: true,
    [`kubepods-pod${uid.replaceAll('-', '_')}.slice`]: true,
    [sandbox]: true,
    [`cri-containerd-${sandbox}.scope`]: true,
    [other]: false,
    [`docker-${other}.scope`]: false,
    'pod11111111-75c8-4dfc-8451-5d891c245bfc': false,
    kubepods: false,
    besteffort: false,
    'podman.service': false,
    'user.slice': false,
  };
  for (const [name, expected] of Object.entries(names)) t.equal(isPodCgroup(name, traces), expected, name);
});

void t.test(
  "the pods' processes are those of our shims, their descendants, and whoever is in our cgroups",
  async (t) => {
    const config = nodeFor(t);
    const shim = (address: string) => [
      '/usr/bin/containerd-shim-runc-v2',
      '-namespace',
      'k8s.io',
      '-address',
      address,
    ];
    const all = [
      running(1, 0, ['/sbin/init']),
      running(10, 1, shim(path.join(config.paths.run, 'containerd/containerd.sock'))),
      running(11, 10, ['/pause']),
      running(12, 11, ['sleep', '1']),
      running(20, 1, shim('/run/containerd/containerd.sock')),
      running(21, 20, ['/pause'], `/kubepods/besteffort/pod1/${other}`),
      running(30, 1, ['lost'], `/kubepods/besteffort/pod${uid}/${sandbox}`),
      running(31, 1, ['bash', '-address', path.join(config.paths.run, 'containerd/containerd.sock')]),
    ];
    const traces = tracesOf({ podUids: [uid], containerIds: [sandbox] });
    t.same(
      podProcesses(config, traces, all).map(({ pid }) => pid),
      [10, 11, 12, 30],
    );
  },
);

function bundle(config: Config): string {
  return path.join(config.paths.run, 'containerd/state/io.containerd.runtime.v2.task/k8s.io', sandbox);
}

/** A pod as the kubelet and containerd leave it on the disk. */
function addPod(config: Config): void {
  mkdirSync(path.join(config.paths.kubelet, 'pods', uid), { recursive: true });
  const folder = bundle(config);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'address'), 'unix:///run/containerd/s/44db');
  writeFileSync(
    path.join(folder, 'config.json'),
    JSON.stringify({
      annotations: { 'io.kubernetes.cri.sandbox-uid': uid },
      linux: {
        namespaces: [
          { type: 'pid' },
          { type: 'network', path: '/var/run/netns/cni-1' },
          { type: 'network', path: '/proc/7/ns/net' },
        ],
      },
    }),
  );
}

function tracesOf(known: { podUids: string[]; containerIds: string[] }): Traces {
  return {
    podUids: new Set(known.podUids),
    containerIds: new Set(known.containerIds),
    networkNamespaces: new Set(),
    shimSockets: new Set(),
    cniResults: new Set(),
    bridges: new Set(),
  };
}

function running(pid: number, parent: number, argv: readonly string[], cgroup = '/'): Process {
  return { pid, parent, startTicks: pid, argv, cgroups: [cgroup] };
}
