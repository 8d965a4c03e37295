import { readFileSync } from 'node:fs';
import { messageOf } from '../../src/lib/errors.js';
import { poll } from '../../src/lib/time.js';
import type { Noticed } from './fault.js';
import type { ChaosNode, Facts } from './node.js';
import { atMost, mayGrow, type Usage } from './usage.js';

/** From a fault to a node that is whole: the longest is a component that hangs, with its probes and its patience. */
const recoveryMs = 150_000;
/** A look costs the machine a few processes. */
const lookEveryMs = 200;

/** A node at rest, as it has to be again after each fault. */
export interface Rest {
  readonly facts: Facts;
  readonly usage: Usage;
}

/** Waits until the fault has been noticed and everything holds again. Throws what does not hold. */
export async function whole(
  node: ChaosNode,
  rest: Rest,
  noticed: Noticed | undefined,
  signal: AbortSignal,
): Promise<void> {
  let last = '';
  const look = async () => {
    // There is nothing to wait for.
    if (node.node.end !== undefined) return 'ended';
    last = noticed?.() === false ? 'nobody has noticed' : await whatIsWrong(node, rest);
    return last === '' ? 'whole' : undefined;
  };
  let seen: 'whole' | 'ended';
  try {
    seen = await poll(look, {
      everyMs: lookEveryMs,
      timeoutMs: recoveryMs,
      signal,
      what: 'a node that is whole',
    });
  } catch (error) {
    throw new Error(`${messageOf(error)}: ${last}`, { cause: error });
  }
  if (seen === 'ended') throw new Error('Hamlet has ended');
}

/** The node as it is now, once it has the same processes at two looks in a row: one that just forks is not at rest. */
export async function restOf(node: ChaosNode, signal: AbortSignal): Promise<Rest> {
  const facts = await node.facts();
  let last = node.usage();
  const usage = await poll(
    () => {
      const before = last;
      last = node.usage();
      return last.processes === before.processes ? last : undefined;
    },
    { everyMs: lookEveryMs, timeoutMs: recoveryMs, signal, what: 'a node at rest' },
  );
  return { facts, usage };
}

/** Waits until every condition holds, whatever else is not as it was. */
export async function ready(node: ChaosNode, signal: AbortSignal): Promise<void> {
  await poll(async () => (await openConditions(node)) === '' || undefined, {
    everyMs: lookEveryMs,
    timeoutMs: recoveryMs,
    signal,
    what: 'a node whose conditions all hold',
  });
}

/** What does not hold, in words; empty when all does. */
async function openConditions(node: ChaosNode): Promise<string> {
  const { code, stdout, stderr } = await node.node.dbg(['condition', '-o', 'json']);
  if (code !== 0) return stderr;
  const conditions = JSON.parse(stdout) as readonly { name: string; ok: boolean; message: string }[];
  const open = conditions.filter(({ ok }) => !ok);
  return open.map(({ name, message }) => `${name} (${message})`).join(', ');
}

/** Why the node is not whole; empty when it is. */
async function whatIsWrong(node: ChaosNode, rest: Rest): Promise<string> {
  const open = await openConditions(node);
  if (open !== '') return open;
  const stopped = node.components.filter(({ pid }) => isStopped(pid)).map(({ name }) => `${name} is stopped`);
  if (stopped.length > 0) return stopped.join(', ');
  return [
    ...growth(rest.usage, node.usage()),
    ...differences(rest.facts, await node.facts()),
    ...(await node.openRestarts()),
  ].join('; ');
}

function differences(facts: Facts, now: Facts): string[] {
  return (['pods', 'authorities'] as const).flatMap((what) =>
    facts[what].join() === now[what].join()
      ? []
      : [`${what}: ${now[what].join(', ')} instead of ${facts[what].join(', ')}`],
  );
}

function growth(start: Usage, now: Usage): string[] {
  return (Object.keys(start) as (keyof Usage)[]).flatMap((what) => {
    const most = atMost[what];
    if (most !== undefined) {
      return now[what] <= most ? [] : [`${what}: ${now[what]}, where ${most} may be`];
    }
    const limit = mayGrow[what];
    const fits = limit === undefined ? now[what] === start[what] : now[what] - start[what] <= limit;
    return fits ? [] : [`${what}: ${now[what]}, ${start[what]} in the beginning`];
  });
}

/** State T in /proc/PID/stat (proc(5)). */
function isStopped(pid: number): boolean {
  try {
    return (readFileSync(`/proc/${pid}/stat`, 'latin1').split(')').at(-1)?.slice(0, 3) ?? '').includes(' T');
  } catch {
    return false;
  }
}
