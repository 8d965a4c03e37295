import { readdirSync, readFileSync } from 'node:fs';

const read = (file: string): string => readFileSync(`/proc/${file}`, 'latin1');

/** The priority in what is read from a `stat` of proc(5). */
export function niceIn(stat: string): number {
  return Number(stat.replace(/^.*\) /s, '').split(' ')[16]);
}

/** The priority of each thread of a process, the main thread's first. */
export function nicesOf(pid: number): number[] {
  const tasks = readdirSync(`/proc/${pid}/task`).map(Number);
  return tasks.sort((a, b) => a - b).map((id) => niceIn(read(`${pid}/task/${id}/stat`)));
}

/** The processes that a process has started and that are there. */
export function childrenOf(pid: number): number[] {
  const tasks = readdirSync(`/proc/${pid}/task`);
  return tasks.flatMap((id) => read(`${pid}/task/${id}/children`).split(' ').filter(Boolean).map(Number));
}

/** What a process was executed with. */
export function commandOf(pid: number): string {
  return read(`${pid}/cmdline`).replaceAll('\0', ' ').trim();
}
