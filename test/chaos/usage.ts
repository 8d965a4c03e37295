import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** What a node takes of its machine. */
export interface Usage {
  /** Of the process that runs it. */
  readonly descriptors: number;
  readonly residentMb: number;
  readonly threads: number;
  /** All of the node's below its folder, the pods' too. */
  readonly mounts: number;
  /** Components, shims and what runs in pods, and what has ended and was not waited for. */
  readonly processes: number;
  /** The machine's ends of the pods' networks. */
  readonly links: number;
}

/** What a node at rest may have more of than in the beginning; of the rest it has to have the same again. */
export const mayGrow: Partial<Usage> = { descriptors: 20, residentMb: 100, threads: 4 };

/** "120 descriptors, 141 residentMb, …" */
export function inWords(usage: Usage): string {
  return Object.entries(usage)
    .map(([what, amount]) => `${Math.round(amount as number)} ${what}`)
    .join(', ');
}

/** Programs that come and go as they are needed: what is left over would be one of the others. */
const passing = /^(node|runc|kubectl|gcc|iptables|ip6tables|nsenter|mount|umount)$/;

export function usageOf(hamlet: number, folder: string): Usage {
  const status = readFileSync(`/proc/${hamlet}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return {
    descriptors: readdirSync(`/proc/${hamlet}/fd`).length,
    residentMb: field('VmRSS') / 1_000,
    threads: field('Threads'),
    mounts: mounts.filter((row) => row.split(' ')[4]?.startsWith(`${folder}/`)).length,
    processes: processesOf(hamlet, folder).length,
    links: readdirSync('/sys/class/net').filter((name) => name.startsWith('veth')).length,
  };
}

function processesOf(hamlet: number, folder: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      if (/^State:\s*Z/m.test(status)) return Number(/^PPid:\s*(\d+)/m.exec(status)?.[1]) === hamlet;
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (passing.test(path.basename(argv[0] ?? ''))) return false;
      return (
        argv.some((word) => word.includes(folder)) ||
        readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes('kubepods')
      );
    } catch {
      // It has ended meanwhile.
      return false;
    }
  });
}
