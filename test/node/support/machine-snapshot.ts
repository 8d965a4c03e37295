import { execFileSync } from 'node:child_process';
import { type Dirent, existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';

/** What a node can leave behind on its machine, as lists of lines that a test can compare. */
export interface MachineSnapshot {
  /** Components, shims and whatever runs in namespaces of its own. */
  readonly processes: readonly string[];
  readonly mounts: readonly string[];
  readonly links: readonly string[];
  readonly routes: readonly string[];
  readonly networkNamespaces: readonly string[];
  readonly iptables: readonly string[];
  readonly ip6tables: readonly string[];
  readonly cgroups: readonly string[];
  readonly sysctls: Readonly<Record<string, string>>;
  /** Files and folders in the places that components share with other software. */
  readonly sharedFiles: readonly string[];
}

const componentPrograms =
  /^(kube(let)?|kube-.*|etcd|containerd|containerd-shim.*|runc|hyperkube|pause|bridge|portmap|host-local)$/;
const sharedFolders = [
  '/opt/containerd',
  '/run/containerd',
  '/run/netns',
  '/var/lib/cni',
  '/var/lib/kubelet',
  '/var/log/containers',
  '/var/log/pods',
];
/** Settings that the kernel changes all the time by itself. */
const restlessSysctls =
  /^(kernel\/(random|ns_last_pid|pty\/nr|perf_|sched_)|net\/netfilter\/nf_conntrack_count)/;

/** Looks at the whole machine. Two snapshots are equal when a node has come and gone without a trace in between. */
export function machineSnapshot(): MachineSnapshot {
  return {
    processes: processes(),
    mounts: mounts(),
    links: links(),
    routes: command('ip', ['route', 'show', 'table', 'all']).sort(),
    networkNamespaces: command('ip', ['netns', 'list']).sort(),
    iptables: rules('iptables-save'),
    ip6tables: rules('ip6tables-save'),
    cgroups: cgroups(),
    sysctls: Object.fromEntries(['kernel', 'vm', 'net'].flatMap((folder) => sysctls(folder))),
    sharedFiles: sharedFolders.flatMap((folder) => tree(folder)),
  };
}

/**
 * What is in one snapshot and not in the other, as lines that begin with "-" for what is gone and "+" for what has
 * come. Empty when they are equal; easier to read than both of them.
 */
export function compareSnapshots(before: MachineSnapshot, after: MachineSnapshot): string[] {
  const parts = Object.keys(before) as (keyof MachineSnapshot)[];
  return parts.flatMap((part) => {
    const [old, now] = [before, after].map((snapshot) => lines(snapshot[part]));
    return [
      ...(old ?? []).filter((line) => now?.includes(line) !== true).map((line) => `- ${part}: ${line}`),
      ...(now ?? []).filter((line) => old?.includes(line) !== true).map((line) => `+ ${part}: ${line}`),
    ];
  });
}

function lines(part: readonly string[] | Readonly<Record<string, string>>): readonly string[] {
  if (Array.isArray(part)) return part as readonly string[];
  return Object.entries(part).map(([name, value]) => `${name} = ${value}`);
}

function processes(): string[] {
  const found = readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      // A zombie only waits for whoever started it.
      if (/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))) return [];
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      const isComponent = componentPrograms.test(path.basename(argv[0] ?? ''));
      const isContained = ['pid', 'net'].some((kind) => namespaceOf(pid, kind) !== namespaceOf('self', kind));
      const isPod = readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes('kubepods');
      return isComponent || isContained || isPod ? [`${pid} ${argv.join(' ').trim()}`] : [];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
  return found.sort();
}

function namespaceOf(pid: string, kind: string): string {
  return readlinkSync(`/proc/${pid}/ns/${kind}`);
}

function mounts(): string[] {
  const rows = readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n');
  return rows
    .map((row) => {
      const [before = '', after = ''] = row.split(' - ');
      const [, , , root, point] = before.split(' ');
      return `${point} ${after.split(' ')[0]} ${root}`;
    })
    .sort();
}

function links(): string[] {
  // Without indexes, which are never used again, and without what the kernel counts.
  return command('ip', ['-oneline', 'link', 'show'])
    .map((line) =>
      line
        .replace(/^\d+: /, '')
        .replace(/\\.*$/, '')
        .trim(),
    )
    .sort();
}

function rules(program: string): string[] {
  return command(program, [])
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.replace(/ \[\d+:\d+\]$/, ''));
}

function cgroups(): string[] {
  const hierarchies = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((row) => / - cgroup2? /.test(row))
    .map((row) => row.split(' ')[4] ?? '');
  const roots = hierarchies.flatMap((point) =>
    ['kubepods', 'kubepods.slice'].map((name) => path.join(point, name)),
  );
  return roots.flatMap(folders).sort();
}

/** A folder and the folders below it. */
function folders(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const below = entriesOf(folder).filter((entry) => entry.isDirectory());
  return [folder, ...below.flatMap(({ name }) => folders(path.join(folder, name)))];
}

function sysctls(relative: string): [string, string][] {
  return entriesOf(`/proc/sys/${relative}`).flatMap((entry): [string, string][] => {
    const name = path.join(relative, entry.name);
    if (restlessSysctls.test(name)) return [];
    if (entry.isDirectory()) return sysctls(name);
    try {
      return [[name, readFileSync(`/proc/sys/${name}`, 'utf8').trim()]];
    } catch {
      // Some can only be written, or only be read while something else is on.
      return [];
    }
  });
}

/** A folder and everything below it; nothing when it is not there. */
function tree(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const below = entriesOf(folder).flatMap((entry) => {
    const file = path.join(folder, entry.name);
    return entry.isDirectory() ? tree(file) : [file];
  });
  return [folder, ...below.sort()];
}

/** What is in a folder; nothing when it has just gone, as everything here may at any time. */
function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

function command(file: string, args: readonly string[]): string[] {
  return execFileSync(file, args, { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line !== '');
}
