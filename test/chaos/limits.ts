import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { damage } from './fault.js';

/** Lets a process open no more files: those that it has stay open. */
export function noDescriptors(pid: number): Disposable {
  const before = softLimit(pid);
  const open = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let free = 0;
  while (open.has(free)) free += 1;
  setSoftLimit(pid, String(free));
  return damage(() => setSoftLimit(pid, before));
}

function softLimit(pid: number): string {
  const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  if (soft === undefined) throw new Error(`process ${pid} has no limit of open files`);
  return soft;
}

function setSoftLimit(pid: number, limit: string): void {
  if (existsSync(`/proc/${pid}`)) execFileSync('prlimit', ['--pid', String(pid), `--nofile=${limit}:`]);
}

/**
 * Lets a process start no more processes and threads, by a cgroup of its own: the limit of a user's processes does not
 * hold for root.
 */
export function noProcesses(pid: number): Disposable {
  const { mount, group } = pidsCgroup(pid);
  const folder = path.join(mount, group, 'hamlet-chaos');
  mkdirSync(folder, { recursive: true });
  const undo = damage(() => {
    writeFileSync(path.join(folder, 'pids.max'), 'max');
    // With what it started meanwhile, in as many rounds as that takes.
    for (let pids = members(folder); pids.length > 0; pids = members(folder)) {
      for (const member of pids) move(member, path.join(mount, group));
    }
    rmdirSync(folder);
  });
  move(pid, folder);
  // Less than there are: what ends makes no room for another one.
  writeFileSync(path.join(folder, 'pids.max'), '1');
  return undo;
}

/** Where a process is in the hierarchy that counts processes: one of its own in cgroup v1, the only one in v2. */
function pidsCgroup(pid: number): { readonly mount: string; readonly group: string } {
  const rows = readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n');
  const groupOf = (is: (controllers: string) => boolean) =>
    rows.map((row) => row.split(':')).find(([, controllers = '']) => is(controllers))?.[2];
  const v1 = groupOf((controllers) => controllers.split(',').includes('pids'));
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n');
  const mountOf = (is: (type: string, options: readonly string[]) => boolean) => {
    const found = mounts.find((row) => {
      const [type = '', , options = ''] = row.split(' - ')[1]?.split(' ') ?? [];
      return is(type, options.split(','));
    });
    if (found === undefined) throw new Error('there is no cgroup that counts processes');
    return found.split(' ')[4] ?? '';
  };
  if (v1 !== undefined) {
    return { mount: mountOf((type, options) => type === 'cgroup' && options.includes('pids')), group: v1 };
  }
  const mount = mountOf((type) => type === 'cgroup2');
  // A group with processes of its own cannot share its controllers out: it has to be the root's child.
  writeFileSync(path.join(mount, 'cgroup.subtree_control'), '+pids');
  return { mount, group: '/' };
}

function members(folder: string): string[] {
  return readFileSync(path.join(folder, 'cgroup.procs'), 'utf8')
    .split('\n')
    .filter((line) => line !== '');
}

function move(pid: number | string, folder: string): void {
  try {
    writeFileSync(path.join(folder, 'cgroup.procs'), String(pid));
  } catch {
    // It has ended meanwhile.
  }
}
