import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { findMachinePrograms } from '../../../src/provision/machine-programs.js';

const programs = [
  ...['etcd', 'containerd', 'containerd-shim-runc-v2', 'ctr', 'runc', 'ip', 'mount', 'umount'],
  ...['iptables', 'iptables-save', 'iptables-restore', 'ip6tables', 'ip6tables-save', 'ip6tables-restore'],
];
const plugins = ['bridge', 'host-local', 'portmap', 'loopback'];

function fill(folder: string, names: readonly string[]): string {
  mkdirSync(folder, { recursive: true });
  for (const name of names) writeFileSync(path.join(folder, name), '', { mode: 0o755 });
  return folder;
}

void t.test('everything is found where the machine has it', async (t) => {
  const root = t.testdir();
  const sbin = fill(path.join(root, 'sbin'), programs.slice(0, 5));
  const bin = fill(path.join(root, 'bin'), [...programs.slice(4), 'conntrack', 'find']);
  const cni = fill(path.join(root, 'cni'), plugins);
  const search = findMachinePrograms(undefined, {
    machineFolders: [sbin, bin],
    machineCniFolders: ['/nonexistent', cni],
  });
  t.match(search, {
    kind: 'found',
    programs: { etcd: `${sbin}/etcd`, runc: `${sbin}/runc`, ctr: `${sbin}/ctr`, cniBinDir: cni },
  });
  if (search.kind !== 'found') return;
  const linked = search.programs.programs;
  t.equal(linked.conntrack, `${bin}/conntrack`, 'what is not necessary is linked when it is there');
  for (const name of ['find', 'mount']) t.notOk(name in linked, 'the kubelet starts no program');
  t.notOk('etcd' in search.programs.programs, 'the PATH holds what components start, not the components');
});

void t.test("a user's folder comes before the machine's", async (t) => {
  const root = t.testdir();
  const bin = fill(path.join(root, 'bin'), [...programs, 'du']);
  const own = fill(path.join(root, 'own'), ['etcd', 'runc']);
  const cni = fill(path.join(root, 'cni'), plugins);
  const ownCni = fill(path.join(own, 'cni'), plugins);
  const folders = { machineFolders: [bin], machineCniFolders: [cni] };
  const search = findMachinePrograms(own, { ...folders, upstreamKubelet: true });
  t.match(search, {
    kind: 'found',
    programs: {
      etcd: `${own}/etcd`,
      containerd: `${bin}/containerd`,
      cniBinDir: ownCni,
      // A kubelet without the patches starts these.
      programs: { runc: `${own}/runc`, mount: `${bin}/mount`, du: `${bin}/du` },
    },
  });
  const patched = findMachinePrograms(own, folders);
  t.notOk(patched.kind === 'found' && 'mount' in patched.programs.programs, 'one with the patches does not');
  rmSync(path.join(ownCni, 'portmap'));
  t.match(
    findMachinePrograms(own, folders),
    { programs: { cniBinDir: cni } },
    'a folder with only some is none',
  );
});

void t.test('what is missing is named with where it was looked for and who has it', async (t) => {
  const root = t.testdir();
  const bin = fill(path.join(root, 'bin'), programs);
  const cni = fill(path.join(root, 'cni'), plugins.slice(1));
  rmSync(path.join(bin, 'etcd'));
  chmodSync(path.join(bin, 'runc'), 0o644);
  t.same(findMachinePrograms(undefined, { machineFolders: [bin], machineCniFolders: [cni] }), {
    kind: 'missing',
    missing: [
      { name: 'etcd', folders: [bin], debianPackage: 'etcd-server' },
      { name: 'runc', folders: [bin], debianPackage: 'runc' },
      {
        name: 'CNI plugins (bridge, host-local, portmap, loopback)',
        folders: [cni],
        debianPackage: 'containernetworking-plugins',
      },
    ],
  });
});
