import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../platform/config.js';
import { containerdSocket, runPaths } from '../../platform/paths.js';
import { isAlive, startTicksOf } from '../../platform/process.js';
import { readTable } from '../children-table.js';
import { findStrays } from '../leftovers.js';
import { stdoutPaths } from '../pipes.js';
import { readTraces, type Traces } from './traces.js';

export interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly startTicks: number;
  readonly argv: readonly string[];
  /** The paths of its cgroups, one for each hierarchy. */
  readonly cgroups: readonly string[];
}

/** Programs that bring up pods, or rules for services, on the machine that they run on. */
const kubernetesPrograms = new Set([
  'kubelet',
  'kube-proxy',
  'k3s',
  'k3s-server',
  'k3s-agent',
  'k0s',
  'kubelite',
]);

/** A binary that is all programs by its first argument: `kube kubelet`, `hyperkube kubelet`. */
const multicall = /^(hyper)?kube$/;

/** Everything that runs, without zombies. */
export function listProcesses(): Process[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid)) return [];
    try {
      const startTicks = startTicksOf(pid);
      if (startTicks === undefined) return [];
      const status = readFileSync(`/proc/${pid}/status`, 'latin1');
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
      const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n');
      // "8:pids:/kubepods/besteffort/…" (cgroups(7)).
      const cgroups = lines.map((line) => line.replace(/^\d+:[^:]*:/, ''));
      return [{ pid, parent: Number(/^PPid:\s*(\d+)/m.exec(status)?.[1]), startTicks, argv, cgroups }];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}

/** The components that a run of Hamlet has left running, by their names: those on record, and any others. */
export function leftComponents(config: Config): { readonly name: string; readonly pid: number }[] {
  const run = runPaths(config.paths.run);
  const recorded = readTable(run.children).filter(
    ({ exit, pid, startTicks }) => exit === null && isAlive(pid, startTicks),
  );
  return [...recorded, ...findStrays(stdoutPaths(run.pipes), new Set(recorded.map(({ pid }) => pid)))];
}

/**
 * The processes of the node's pods: containerd's shims, whatever they have started, and what runs in a cgroup of one
 * of its containers. The shims of another containerd name another socket.
 */
export function podProcesses(config: Config, traces: Traces, all = listProcesses()): Process[] {
  const socket = containerdSocket(config.paths.run);
  const mine = new Set(all.filter(({ argv }) => isShimOf(argv, socket)).map(({ pid }) => pid));
  for (const { pid, cgroups } of all) {
    if (cgroups.some((cgroup) => cgroup.split('/').some((name) => isPodCgroup(name, traces)))) mine.add(pid);
  }
  addDescendants(mine, all);
  return all.filter(({ pid }) => mine.has(pid));
}

/** Whether a cgroup's name is that of a pod or container of the node, in the form of either cgroup driver. */
export function isPodCgroup(name: string, { podUids, containerIds }: Traces): boolean {
  // A container that was started by hand can have any name: only one that nobody else can have says whose it is.
  const id = /(?:^|-)([0-9a-f]{64})(?:\.scope)?$/.exec(name)?.[1];
  if (id !== undefined) return containerIds.has(id);
  const uid = /(?:^|-)pod([0-9a-f][0-9a-f_-]+?)(?:\.slice)?$/.exec(name)?.[1];
  return uid !== undefined && podUids.has(uid.replaceAll('_', '-'));
}

/**
 * A process of another Kubernetes node in the same network namespace, in words, or undefined. While there is one, what
 * Kubernetes nodes cannot tell apart is left to it: KUBE-* chains, the root of the pods' cgroups, kernel settings.
 */
export function otherKubernetes(config: Config, traces = readTraces(config)): string | undefined {
  const all = listProcesses();
  const mine = new Set(
    [...leftComponents(config), ...podProcesses(config, traces, all)].map(({ pid }) => pid),
  );
  const other = all.find((candidate) => !mine.has(candidate.pid) && isKubernetes(candidate));
  return other && `${describe(other)} (process ${other.pid})`;
}

function addDescendants(pids: Set<number>, all: readonly Process[]): void {
  for (let before = -1; before !== pids.size;) {
    before = pids.size;
    for (const { pid, parent } of all) if (pids.has(parent)) pids.add(pid);
  }
}

function isKubernetes({ pid, argv: [program = '', command = ''], cgroups }: Process): boolean {
  if (cgroups.some((cgroup) => /^\/kubepods(\.slice)?\//.test(cgroup))) return true;
  const name = path.basename(program);
  const isMulticall = multicall.test(name) && kubernetesPrograms.has(command);
  return (isMulticall || kubernetesPrograms.has(name)) && sharesNetwork(pid);
}

function describe({ argv: [program = '', command = ''] }: Process): string {
  const name = path.basename(program);
  return multicall.test(name) ? command : name;
}

/** A node in a container of its own has rules and pods of its own. */
function sharesNetwork(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync('/proc/self/ns/net');
  } catch {
    return false;
  }
}

function isShimOf(argv: readonly string[], socket: string): boolean {
  const at = argv.indexOf('-address');
  return at > 0 && argv[at + 1] === socket && path.basename(argv[0] ?? '').startsWith('containerd-shim');
}
