import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { sleep } from '../lib/time.js';

/** How often to look for a port that is not open yet, in milliseconds. */
const listenPeriodMs = 20;

/**
 * The kernel goes through its whole table of connections to list them, whose size follows the machine's memory: with
 * 24 GB it takes 7 ms for each of the two lists, which at a start nobody has. So they are read only when the number of
 * sockets has changed, and now and then, in case that one went when the other came.
 */
const listAgainMs = 500;
const countFiles = ['/proc/net/sockstat', '/proc/net/sockstat6'];

/** State "listen" in /proc/net/tcp (linux/tcp_states.h). */
const listenState = '0A';

export interface PortHolder {
  readonly pid: number;
  /** The program's name as ps shows it. */
  readonly name: string;
}

/**
 * Waits until anyone listens on a TCP port of this network namespace; the kernel tells, without a connection.
 * Throws the signal's reason when it is aborted first.
 */
export async function untilListening(port: number, signal: AbortSignal): Promise<void> {
  let listed = { count: '', atMs: -Infinity };
  for (;;) {
    // First, so that what changes while they are listed is seen the next time.
    const now = { count: socketCount(), atMs: performance.now() };
    if (now.count !== listed.count || now.atMs - listed.atMs >= listAgainMs) {
      if (isListening(port)) return;
      listed = now;
    }
    await sleep(listenPeriodMs, signal);
  }
}

/** How many TCP sockets there are, of each family, in the kernel's words. */
function socketCount(): string {
  return countFiles
    .flatMap((file) => readOr(file, '').split('\n'))
    .filter((line) => /^TCP6?: /.test(line))
    .map((line) => /^\S+ inuse \d+/.exec(line)?.[0])
    .join();
}

function isListening(port: number): boolean {
  return ['/proc/net/tcp', '/proc/net/tcp6'].some((file) => listeningInodes(file, port).length > 0);
}

/** The process that listens on a TCP port of this network namespace, or undefined when there is none to be seen. */
export function portHolder(port: number): PortHolder | undefined {
  const inodes = new Set(['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) => listeningInodes(file, port)));
  if (inodes.size === 0) return undefined;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const link of openFiles(pid)) {
      const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
      if (inode === undefined || !inodes.has(inode)) continue;
      return { pid: Number(pid), name: readOr(`/proc/${pid}/comm`, '').trim() };
    }
  }
  return undefined;
}

/** Rows of /proc/net/tcp (proc(5)): number, local address and port in hex, remote, state, …, inode as the tenth. */
function listeningInodes(file: string, port: number): string[] {
  return readOr(file, '')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = '', , state]) => {
      return state === listenState && Number.parseInt(local.split(':')[1] ?? '', 16) === port;
    })
    .flatMap((fields) => fields[9] ?? []);
}

/** What a process's descriptors point to; nothing for one that has just ended. */
function openFiles(pid: string): string[] {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).flatMap((fd) => {
      try {
        return [readlinkSync(`${folder}/${fd}`)];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

function readOr(file: string, otherwise: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return otherwise;
  }
}
