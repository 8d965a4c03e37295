import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/lib/errors.js';
import { compareSnapshots, machineSnapshot } from '../node/support/machine-snapshot.js';
import { faults, until } from './faults.js';
import { ChaosNode, type Facts, type Usage } from './node.js';
import { rounds, seeded } from './random.js';

/**
 * Does all kinds of damage to a real node, at random and the same for the same seed, and checks after each that the node
 * is whole again without help: `npm run chaos -- --faults N --seed S`. The last line says how many faults were made and
 * what failed.
 */
const { values } = parseArgs({
  options: {
    faults: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    /** Only faults whose name contains this. */
    only: { type: 'string', default: '' },
  },
});
const wanted = Number(values.faults);
const seed = Number(values.seed);

/** From a fault to a node that is whole: the longest is a component that hangs, with its probes and its patience. */
const recoveryMs = 150_000;
/** What a node at rest may have more of than in the beginning. */
const mayGrow: Usage = { descriptors: 30, residentMb: 150, secretMounts: 0, processes: 0 };

const failed: string[] = [];
const before = machineSnapshot();
const node = await ChaosNode.create();
let made = 0;
try {
  node.start();
  await node.node.ready();
  await node.startPods();
  const facts = await node.facts();
  const usage = node.usage();
  for (const fault of rounds(
    faults.filter(({ name }) => name.includes(values.only)),
    seeded(seed),
  )) {
    if (made === wanted) break;
    made += 1;
    const startedMs = performance.now();
    const problems: string[] = [];
    try {
      await fault.inject(node);
      await whole(facts, usage);
      problems.push(...differences(facts, await node.facts()), ...(await node.gaps()));
      problems.push(...growth(usage, node.usage()));
    } catch (error) {
      problems.push(messageOf(error));
    }
    const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1).padStart(6);
    say(
      `${String(made).padStart(4)}  ${seconds} s  ${fault.name}${problems.map((text) => `\n      !! ${text}`).join('')}`,
    );
    if (problems.length > 0) failed.push(`${made} (${fault.name})`);
  }
} catch (error) {
  say(messageOf(error));
  say(node.node.output);
  failed.push('the run itself');
} finally {
  try {
    await node.remove();
    // What has gone meanwhile was somebody else's.
    const left = compareSnapshots(before, machineSnapshot()).filter((line) => line.startsWith('+'));
    for (const line of left) say(`      !! ${line}`);
    if (left.length > 0) failed.push('what is left on the machine');
  } catch (error) {
    say(messageOf(error));
    failed.push('taking the node away');
  }
}
say(
  `${made} faults made with seed ${seed}, ${failed.length} failed${failed.length > 0 ? `: ${failed.join(', ')}` : ''}`,
);
process.exit(failed.length === 0 ? 0 : 1);

/** Waits until everything holds again, and goes on holding: a fault may take a moment to be noticed. */
async function whole(facts: Facts, usage: Usage): Promise<void> {
  let since = 0;
  let last = '';
  const holds = async (): Promise<boolean> => {
    last = await whatIsWrong(facts, usage);
    if (last !== '') since = 0;
    else since ||= performance.now();
    return since > 0 && performance.now() - since >= 2_000;
  };
  try {
    await until('a node that is whole', recoveryMs, holds);
  } catch (error) {
    throw new Error(`${messageOf(error)}: ${last}`, { cause: error });
  }
}

/** Why the node is not whole; empty when it is. */
async function whatIsWrong(facts: Facts, usage: Usage): Promise<string> {
  const { code, stdout, stderr } = await node.node.dbg(['condition', '-o', 'json']);
  if (code !== 0) return stderr;
  const conditions = JSON.parse(stdout) as readonly { name: string; ok: boolean; message: string }[];
  const open = conditions.filter(({ ok }) => !ok).map(({ name, message }) => `${name} (${message})`);
  if (open.length > 0) return open.join(', ');
  // One that stands still is healthy until its probe has failed a few times.
  const stopped = node.components.filter(({ pid }) => isStopped(pid)).map(({ name }) => `${name} is stopped`);
  if (stopped.length > 0) return stopped.join(', ');
  const { secretMounts, processes } = node.usage();
  if (secretMounts !== usage.secretMounts) return `${secretMounts} mounts of secrets`;
  if (processes !== usage.processes) return `${processes} components`;
  return differences(facts, await node.facts()).join(', ');
}

function differences(facts: Facts, now: Facts): string[] {
  return (['pods', 'authorities'] as const).flatMap((what) =>
    facts[what].join() === now[what].join()
      ? []
      : [`${what}: ${now[what].join(', ')} instead of ${facts[what].join(', ')}`],
  );
}

function growth(start: Usage, now: Usage): string[] {
  return (Object.keys(mayGrow) as (keyof Usage)[]).flatMap((what) =>
    now[what] - start[what] > mayGrow[what] ? [`${what}: ${now[what]}, ${start[what]} in the beginning`] : [],
  );
}

/** State T in /proc/PID/stat (proc(5)). */
function isStopped(pid: number): boolean {
  try {
    return (readFileSync(`/proc/${pid}/stat`, 'latin1').split(')').at(-1)?.slice(0, 3) ?? '').includes(' T ');
  } catch {
    return false;
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
