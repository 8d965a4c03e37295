import { readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';

const threadsOf = (pid: number): number[] => readdirSync(`/proc/${pid}/task`).map(Number);

/** The priorities that a process's threads have. */
export function nicesOf(pid: number): Set<number> {
  return new Set(threadsOf(pid).map((id) => getPriority(id)));
}

/** The processes that a process has started and that are there. */
export function childrenOf(pid: number): number[] {
  return threadsOf(pid).flatMap((id) =>
    readFileSync(`/proc/${pid}/task/${id}/children`, 'latin1').split(' ').filter(Boolean).map(Number),
  );
}

/** The name of the program that a process has executed. */
export function programOf(pid: number): string {
  return readFileSync(`/proc/${pid}/comm`, 'latin1').trim();
}
