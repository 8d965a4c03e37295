import type { Child } from '../../src/ipc/services/host.js';
import { componentNames } from '../../src/lib/names.js';

/** A record of the node's history, as far as it matters here. */
export interface Ended {
  readonly id: number;
  readonly name: string;
  readonly message: string;
  /** The record of what brought it about, where that is known. */
  readonly causeId: number | null;
}

/** The components' processes at one time, and what had ended until then. */
export interface Running {
  readonly children: readonly Child[];
  readonly history: readonly Ended[];
}

/**
 * What has become another process, or has ended in between, without a reason: neither is it one of `ends`, nor does the
 * history say that it died of one of these, by way of others or not. In words; empty when all went on that had to.
 */
export function discontinuities(before: Running, now: Running, ends: readonly string[]): string[] {
  const lastId = before.history.at(-1)?.id ?? 0;
  const records = new Map(now.history.filter(({ id }) => id > lastId).map((record) => [record.id, record]));
  const hasReason = ({ name, causeId }: Ended): boolean => {
    if (ends.includes(name)) return true;
    const cause = causeId === null ? undefined : records.get(causeId);
    return cause !== undefined && hasReason(cause);
  };
  return componentNames.flatMap((name) => {
    if (ends.includes(name)) return [];
    const own = [...records.values()].filter((record) => record.name === name);
    const unfounded = own.filter((record) => !hasReason(record)).map(({ message }) => `${name} ${message}`);
    if (own.length > 0) return unfounded;
    const [old, current] = [processOf(before.children, name), processOf(now.children, name)];
    return old === current
      ? []
      : [`${name} is ${current} instead of ${old}, and the history has no word of it`];
  });
}

/** The pid and the start time name one process for good. */
function processOf(children: readonly Child[], name: string): string {
  const child = children.find((one) => one.name === name);
  return child === undefined ? 'not running' : `process ${child.pid} of tick ${child.startTicks}`;
}
