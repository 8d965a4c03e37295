import type { ComponentName } from '../lib/names.js';

/** How long most components may take to heed SIGTERM, in milliseconds. */
export const usualStopPatienceMs = 10_000;

/** The API server lets the requests that are under way end. */
const others: Readonly<Partial<Record<ComponentName, number>>> = { 'kube.apiserver': 30_000 };

/** How long a component may take to heed SIGTERM, in milliseconds, whoever stops it. */
export function stopPatienceMs(name: string): number {
  return (others as Readonly<Record<string, number>>)[name] ?? usualStopPatienceMs;
}
