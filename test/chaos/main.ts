import { parseArgs } from 'node:util';
import { messageOf } from '../../src/lib/errors.js';
import { formatDuration } from '../../src/lib/time.js';
import { compareSnapshots, machineSnapshot } from '../node/support/machine-snapshot.js';
import { ready, restOf, whole, type Rest } from './checks.js';
import { discontinuities } from './continuity.js';
import type { Fault } from './fault.js';
import { faults } from './faults.js';
import { LogCheck } from './logs.js';
import { ChaosNode } from './node.js';
import { rounds, seeded } from './random.js';
import { inWords } from './usage.js';
import { Witness } from './witness.js';

/**
 * Does all kinds of damage to a real node, at random and the same for the same seed, and checks after each that the node
 * is whole again without help: `npm run chaos -- --faults N --seed S`. A fault that failed does not end the run, unless the
 * node does not become Ready any more. The last line says how many faults were made and what failed.
 */
const { values } = parseArgs({
  options: {
    faults: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    /** Only faults whose name contains one of these. */
    only: { type: 'string', multiple: true, default: [''] },
  },
});
const wanted = Number(values.faults);
const seed = Number(values.seed);
const chosen = faults.filter(({ name }) => values.only.some((part) => name.includes(part)));
if (!Number.isSafeInteger(wanted) || !Number.isSafeInteger(seed) || chosen.length === 0) {
  say(`--faults and --seed take whole numbers, and --only a part of one of these:`);
  for (const { name } of faults) say(`  ${name}`);
  process.exit(2);
}

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => interrupted.abort(new Error(`interrupted by ${name}`)));
}
const { signal } = interrupted;

/** What it takes of the machine is told so often, and in the beginning and in the end. */
const tellUsageEvery = Math.ceil(wanted / 4);
/** What is shown of Hamlet's log when a fault failed. */
const shownLines = 40;

const failed: string[] = [];
const before = machineSnapshot();
const startedMs = performance.now();
const node = await ChaosNode.create();
let made = 0;
try {
  node.start();
  await node.node.ready();
  await node.startPods();
  using _ = new Witness(node.stdouts);
  const logs = new LogCheck(node.node);
  await logs.read();
  let rest = await restOf(node, signal);
  say(`in the beginning: ${inWords(rest.usage)}`);
  for (const fault of rounds(chosen, seeded(seed))) {
    if (made === wanted || signal.aborted) break;
    made += 1;
    const startedMs = performance.now();
    const { problems, said } = await make(fault, rest, logs);
    const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1).padStart(6);
    say(`${String(made).padStart(4)}  ${seconds} s  ${fault.name}`);
    for (const problem of problems) say(`      !! ${problem}`);
    if (problems.length > 0) {
      failed.push(`${made} (${fault.name})`);
      rest = await goOn(said, logs);
    }
    if (made % tellUsageEvery === 0 || made === wanted) say(`after ${made}: ${inWords(node.usage())}`);
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
if (signal.aborted) failed.push('interrupted');
say(
  `${made} faults made with seed ${seed} in ${formatDuration(performance.now() - startedMs)}, ` +
    `${failed.length} failed${failed.length > 0 ? `: ${failed.join(', ')}` : ''}`,
);
process.exit(failed.length === 0 ? 0 : 1);

/** Makes a fault; gives what was not as it has to be afterwards, and what Hamlet has said meanwhile. */
async function make(fault: Fault, rest: Rest, logs: LogCheck) {
  const problems: string[] = [];
  let said = '';
  try {
    const before = await node.running();
    const noticed = await fault.inject(node, signal);
    await whole(node, rest, noticed, signal);
    problems.push(...discontinuities(before, await node.running(), fault.ends ?? []));
    problems.push(...(await node.gaps()));
  } catch (error) {
    problems.push(messageOf(error));
  }
  try {
    const read = await logs.read(fault.costs);
    problems.push(...read.problems);
    said = read.said;
    if (fault.tells?.test(said) === false) {
      problems.push(`Hamlet's log says nothing like ${String(fault.tells)}`);
    }
  } catch (error) {
    problems.push(messageOf(error));
  }
  return { problems, said };
}

/** After a fault that failed: shows what may tell why, and gives what the next one is compared with. */
async function goOn(said: string, logs: LogCheck): Promise<Rest> {
  for (const line of said.split('\n').slice(-shownLines)) say(`      | ${line}`);
  const { end, output } = node.node;
  if (end !== undefined) {
    say(`      !! Hamlet has ended, ${end}, and is started again; it printed:\n${output}`);
    node.start();
  }
  await ready(node, signal);
  // What is missing because of this fault is not the next one's doing.
  await logs.read('lines');
  const { stdout } = await node.node.dbg(['history']);
  for (const line of stdout.trimEnd().split('\n').slice(-shownLines)) say(`      | ${line}`);
  return restOf(node, signal);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
