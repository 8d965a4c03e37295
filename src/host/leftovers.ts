import { readFileSync, readdirSync, statSync } from 'node:fs';
import type { Child } from '../ipc/services/host.js';
import { isAlive, startTicksOf } from '../platform/process.js';
import { killProcess, type Leader } from './process-group.js';

/** What runs of an earlier run of Hamlet's children. */
export interface Leftovers {
  /** Those that go on as they are: on record, alive, and writing into their pipes. */
  readonly sound: readonly Child[];
  /** Those that cannot be gone on with. */
  readonly unsound: readonly Leader[];
  /** On record as running, and gone. */
  readonly gone: readonly Child[];
}

/**
 * Compares the table that an earlier run has left with what runs. `writes` says whether a process writes into the
 * output pipes of a component.
 */
export function sortLeftovers(
  table: readonly Child[],
  writes: (name: string, pid: number) => boolean,
): Leftovers {
  const running = table.filter(({ exit }) => exit === null);
  const alive = running.filter(({ pid, startTicks }) => isAlive(pid, startTicks));
  const isSound = ({ name, pid }: Child) => writes(name, pid);
  return {
    sound: alive.filter(isSound),
    unsound: alive.filter((child) => !isSound(child)),
    gone: running.filter((child) => !alive.includes(child)),
  };
}

/**
 * Components that an earlier run started and was killed before it had them on record: leaders of a process group
 * whose stdout is the pipe at one of these paths. `known` are those that are accounted for.
 */
export function findStrays(pipes: ReadonlyMap<string, string>, known: ReadonlySet<number>): Leader[] {
  return findWriters(pipes).filter(({ pid }) => !known.has(pid) && groupOf(pid) === pid);
}

/**
 * Ends what components that are gone have started and not ended: it would keep their ports and files from their next
 * runs. A process counts as theirs when it is in the group of one and its stdout is that one's pipe. Gives the names of
 * those that had left any. Throws INTERNAL for what even SIGKILL does not end, the signal's reason when it is aborted.
 */
export async function endOrphans(
  gone: readonly Child[],
  pipes: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (gone.length === 0) return [];
  const orphans = findWriters(pipes).filter(({ name, pid }) => {
    const group = groupOf(pid);
    return gone.some((child) => child.name === name && child.pid === group);
  });
  await Promise.all(orphans.map((orphan) => killProcess(orphan, signal)));
  return [...new Set(orphans.map(({ name }) => name))];
}

/** Processes whose stdout is one of these pipes, with the name that it belongs to. */
function findWriters(pipes: ReadonlyMap<string, string>): Leader[] {
  const names = new Map([...pipes].map(([name, path]) => [identity(path), name]));
  return readdirSync('/proc').flatMap((entry) => {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) return [];
    const name = names.get(identity(`/proc/${pid}/fd/1`) ?? '');
    const startTicks = name === undefined ? undefined : startTicksOf(pid);
    return name === undefined || startTicks === undefined ? [] : [{ name, pid, startTicks }];
  });
}

/** Whether both are the same open file. */
export function isSameFile(a: string, b: string): boolean {
  const id = identity(a);
  return id !== undefined && id === identity(b);
}

function identity(file: string): string | undefined {
  try {
    const { dev, ino } = statSync(file);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

/** The process group: field 5 of /proc/PID/stat (proc(5)). Undefined when there is no such process any more. */
function groupOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]);
  } catch {
    return undefined;
  }
}
