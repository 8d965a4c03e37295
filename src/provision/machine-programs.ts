import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';

/** Where Debian puts programs; the caller's PATH has no say in what a node runs. */
const programFolders = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];
/** Debian's folder of CNI plugins, and that of CNI's own releases. */
const cniFolders = ['/usr/lib/cni', '/opt/cni/bin'];
/** The plugins that the node's network configuration names, and loopback, which containerd runs for every pod. */
const cniPlugins = ['bridge', 'host-local', 'portmap', 'loopback'];
const cniPackage = 'containernetworking-plugins';

/**
 * Programs that a node cannot do without, and the Debian packages that bring them. Hamlet itself mounts secrets, and
 * its reset takes interfaces away with `ip`.
 */
const requiredPrograms = {
  etcd: 'etcd-server',
  containerd: 'containerd',
  'containerd-shim-runc-v2': 'containerd',
  ctr: 'containerd',
  runc: 'runc',
  iptables: 'iptables',
  'iptables-save': 'iptables',
  'iptables-restore': 'iptables',
  ip6tables: 'iptables',
  'ip6tables-save': 'iptables',
  'ip6tables-restore': 'iptables',
  ip: 'iproute2',
  mount: 'mount',
  umount: 'mount',
} as const;
type RequiredProgram = keyof typeof requiredPrograms;

/**
 * What the components find on their PATH: containerd starts the shim, which starts runc; kube-proxy and the CNI
 * plugins set up iptables. The kubelet that is built here mounts and measures volumes without any program.
 */
const linkedPrograms: readonly RequiredProgram[] = [
  'containerd-shim-runc-v2',
  'runc',
  'iptables',
  'iptables-save',
  'iptables-restore',
  'ip6tables',
  'ip6tables-save',
  'ip6tables-restore',
];

/**
 * What they use when it is there: conntrack to forget the connections of a service's old endpoints, and
 * apparmor_parser to load a container's profile.
 */
const optionalPrograms = ['conntrack', 'apparmor_parser'];
/** What a kubelet without Hamlet's patches starts. */
const upstreamKubeletPrograms = ['mount', 'umount', 'du', 'find', 'nice'];

/** Something that was looked for and not found. */
export interface Missing {
  readonly name: string;
  readonly folders: readonly string[];
  /** The Debian package that has it. */
  readonly debianPackage: string;
}

export interface MachinePrograms {
  readonly etcd: string;
  readonly containerd: string;
  readonly ctr: string;
  readonly runc: string;
  readonly cniBinDir: string;
  readonly programs: Readonly<Record<string, string>>;
}

/** Either all of it, or what is missing. */
export type ProgramSearch =
  | { readonly kind: 'found'; readonly programs: MachinePrograms }
  | { readonly kind: 'missing'; readonly missing: readonly Missing[] };

export interface SearchOptions {
  readonly machineFolders?: readonly string[];
  readonly machineCniFolders?: readonly string[];
  /** The kubelet has not got Hamlet's patches. */
  readonly upstreamKubelet?: boolean;
}

/**
 * Looks for every program besides Kubernetes' own: first in `dir`, the user's folder of binaries if there is one,
 * and its `cni`, then where the machine has them.
 */
export function findMachinePrograms(
  dir: string | undefined,
  {
    machineFolders = programFolders,
    machineCniFolders = cniFolders,
    upstreamKubelet = false,
  }: SearchOptions = {},
): ProgramSearch {
  const folders = dir === undefined ? machineFolders : [dir, ...machineFolders];
  const found = new Map<string, string>();
  const missing: Missing[] = [];
  for (const [name, debianPackage] of Object.entries(requiredPrograms)) {
    const file = findProgram(name, folders);
    if (file === undefined) missing.push({ name, folders, debianPackage });
    else found.set(name, file);
  }

  const cniCandidates = dir === undefined ? machineCniFolders : [path.join(dir, 'cni'), ...machineCniFolders];
  const cniBinDir = cniCandidates.find((folder) =>
    cniPlugins.every((plugin) => isProgram(path.join(folder, plugin))),
  );
  if (cniBinDir === undefined) {
    const name = `CNI plugins (${cniPlugins.join(', ')})`;
    missing.push({ name, folders: cniCandidates, debianPackage: cniPackage });
    return { kind: 'missing', missing };
  }
  if (missing.length > 0) return { kind: 'missing', missing };

  const at = (name: RequiredProgram) => found.get(name) ?? '';
  const wanted = upstreamKubelet ? [...optionalPrograms, ...upstreamKubeletPrograms] : optionalPrograms;
  const optional = wanted.flatMap((name) => {
    const file = findProgram(name, folders);
    return file === undefined ? [] : [[name, file] as const];
  });
  return {
    kind: 'found',
    programs: {
      etcd: at('etcd'),
      containerd: at('containerd'),
      ctr: at('ctr'),
      runc: at('runc'),
      cniBinDir,
      programs: Object.fromEntries([...linkedPrograms.map((name) => [name, at(name)] as const), ...optional]),
    },
  };
}

/** Whether a file is there that may be run. */
export function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function findProgram(name: string, folders: readonly string[]): string | undefined {
  return folders.map((folder) => path.join(folder, name)).find(isProgram);
}
