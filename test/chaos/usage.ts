import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { standbyName } from '../../src/host/launcher.js';

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
  /** The most shells that wait for one component's next start: they come and go, so only their number is held. */
  readonly standbys: number;
  /** The machine's ends of the pods' networks. */
  readonly links: number;
}

/** What a node at rest may have more of than in the beginning; of the rest it has to have the same again. */
export const mayGrow: Partial<Usage> = { descriptors: 20, residentMb: 100, threads: 4 };

/** What a node at rest may have at most, whatever it had in the beginning. */
export const atMost: Partial<Usage> = { standbys: 1 };

/** "120 descriptors, 141 residentMb, …" */
export function inWords(usage: Usage): string {
  return Object.entries(usage)
    .map(([what, amount]) => `${Math.round(amount as number)} ${what}`)
    .join(', ');
}

/**
 * Programs that come and go as they are needed, by Hamlet, by chaos and by what the pods run: what is left over would be
 * one of the others.
 */
const passing = /^(node|runc|kubectl|gcc|iptables|ip6tables|nsenter|mount|umount|sleep)$/;

/** What a process is to its node. */
export type Kind = 'lasting' | 'passing' | { readonly standbyFor: string };

/** By its command line. A component's program is what comes before its options. */
export function kindOf(argv: readonly string[]): Kind {
  if (argv[3] === standbyName) {
    const command = argv.slice(4);
    const options = command.findIndex((word) => word.startsWith('-'));
    return { standbyFor: command.slice(0, options < 0 ? command.length : options).join(' ') };
  }
  return passing.test(path.basename(argv[0] ?? '')) ? 'passing' : 'lasting';
}

/** Of all these processes the most that stand by for one component. */
export function standbysOfOne(kinds: readonly Kind[]): number {
  const counts = new Map<string, number>();
  for (const kind of kinds) {
    if (typeof kind === 'object') counts.set(kind.standbyFor, (counts.get(kind.standbyFor) ?? 0) + 1);
  }
  return Math.max(0, ...counts.values());
}

export function usageOf(hamlet: number, folder: string): Usage {
  const status = readFileSync(`/proc/${hamlet}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const kinds = processesOf(hamlet, folder);
  return {
    descriptors: readdirSync(`/proc/${hamlet}/fd`).length,
    residentMb: field('VmRSS') / 1_000,
    threads: field('Threads'),
    mounts: mounts.filter((row) => row.split(' ')[4]?.startsWith(`${folder}/`)).length,
    processes: kinds.filter((kind) => kind === 'lasting').length,
    standbys: standbysOfOne(kinds),
    links: readdirSync('/sys/class/net').filter((name) => name.startsWith('veth')).length,
  };
}

/** All of the node's; what has ended and was not waited for would last. */
function processesOf(hamlet: number, folder: string): Kind[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      if (/^State:\s*Z/m.test(status)) {
        return Number(/^PPid:\s*(\d+)/m.exec(status)?.[1]) === hamlet ? ['lasting'] : [];
      }
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
      const isOurs =
        argv.some((word) => word.includes(folder)) ||
        readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes('kubepods');
      return isOurs ? [kindOf(argv)] : [];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}
