import { readFileSync, readdirSync, statSync } from 'node:fs';
import type { Child } from '../ipc/services/host.js';
import { isAlive, startTicksOf } from '../platform/process.js';
import type { Leader } from './process-group.js';

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
  const names = new Map([...pipes].map(([name, path]) => [identity(path), name]));
  return readdirSync('/proc').flatMap((entry) => {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || known.has(pid)) return [];
    const name = names.get(identity(`/proc/${pid}/fd/1`) ?? '');
    const startTicks = name === undefined ? undefined : startTicksOf(pid);
    if (name === undefined || startTicks === undefined || !leadsGroup(pid)) return [];
    return [{ name, pid, startTicks }];
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

/** Field 5 of /proc/PID/stat is the process group (proc(5)). */
function leadsGroup(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]) === pid;
  } catch {
    return false;
  }
}
