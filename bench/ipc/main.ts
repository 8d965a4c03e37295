/**
 * The benchmark of the mesh: `npm run bench:ipc -- [--rounds N] [--ms N] [--only a,b] [--json FILE] [--plot FILE]`.
 * Every round measures every contender in every scenario, so that what disturbs the machine disturbs all of them.
 * Ends with 0 if it could measure, whatever the figures are.
 */
import { writeFile } from 'node:fs/promises';
import { availableParallelism, release } from 'node:os';
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/lib/errors.js';
import { plot } from './plot.js';
import { Results } from './results.js';
import { RigProcess } from './runner.js';
import {
  type ContenderName,
  contenderNames,
  contenders,
  makeScenarios,
  type Scenario,
  type ScenarioName,
  scenarioNames,
} from './scenarios.js';
import { judge } from './targets.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    ms: { type: 'string', default: '500' },
    only: { type: 'string', default: contenderNames.join(',') },
    json: { type: 'string' },
    plot: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const scenarios: Readonly<Record<ScenarioName, Scenario>> = makeScenarios(Number(values.ms));
const results = new Results();
const notMeasured: Record<string, string> = {};

const rigs = new Map<ContenderName, RigProcess>();
const asked = values.only.split(',');
for (const name of contenderNames.filter((name) => asked.includes(name))) {
  try {
    rigs.set(name, await RigProcess.start(name));
  } catch (error) {
    notMeasured[name] = messageOf(error);
    console.error(`${name} cannot be measured: ${messageOf(error)}`);
  }
}

/** Measures one contender after the other; a different one is first in every round. */
async function measureAll(name: ScenarioName, round: number, keep: boolean): Promise<void> {
  const { job, by = contenderNames } = scenarios[name];
  const taking = by.filter((contender) => rigs.has(contender));
  for (let index = 0; index < taking.length; index += 1) {
    const contender = taking[(index + round) % taking.length];
    if (contender === undefined) continue;
    try {
      const measured = await rigs.get(contender)?.measure(job);
      if (keep && measured !== undefined) results.add(name, contender, measured);
    } catch (error) {
      notMeasured[`${contender}, ${scenarios[name].title}`] = messageOf(error);
      console.error(`${contenders[contender]}: ${messageOf(error)}`);
      rigs.delete(contender);
    }
  }
}

const startMs = performance.now();
// The first round warms everything up, and is not kept.
for (let round = 0; round <= rounds; round += 1) {
  for (const name of scenarioNames) await measureAll(name, round, round > 0);
  const seconds = Math.round((performance.now() - startMs) / 1_000);
  console.log(round === 0 ? `warm after ${seconds} s` : `round ${round} of ${rounds} after ${seconds} s`);
}
await Promise.all([...rigs.values()].map((rig) => rig.stop()));

const cell = (value: number, width: number) =>
  (value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)).padStart(width);
for (const name of scenarioNames) {
  const { title, job, by = contenderNames } = scenarios[name];
  console.log(
    `\n${title.padEnd(40)}${'per s'.padStart(12)}${'p50 µs'.padStart(10)}${'p99 µs'.padStart(10)}${'CPU µs'.padStart(10)}`,
  );
  for (const contender of by.filter((contender) => rigs.has(contender))) {
    const figure = (which: Parameters<Results['median']>[2]) => results.median(name, contender, which);
    const latency =
      job.kind === 'items' ? ''.padStart(20) : cell(figure('p50Us'), 10) + cell(figure('p99Us'), 10);
    console.log(
      `  ${contenders[contender].padEnd(38)}${cell(figure('perSecond'), 12)}${latency}${cell(figure('cpuUs'), 10)}`,
    );
  }
}

const targets = judge(results);
console.log('\nratios, medians over the rounds');
for (const { name, value, target, met } of targets) {
  console.log(`  ${met ? 'met   ' : 'MISSED'} ${String(value ?? '-').padStart(8)}   ${name} ${target}`);
}

if (values.json !== undefined) {
  const figures = scenarioNames.map((name) => ({
    scenario: name,
    title: scenarios[name].title,
    contenders: Object.fromEntries(
      (scenarios[name].by ?? contenderNames)
        .filter((contender) => rigs.has(contender))
        .map((contender) => [
          contender,
          {
            perSecond: results.median(name, contender, 'perSecond'),
            p50Us: results.median(name, contender, 'p50Us'),
            p99Us: results.median(name, contender, 'p99Us'),
            cpuUs: results.median(name, contender, 'cpuUs'),
            rounds: {
              perSecond: results.all(name, contender, 'perSecond'),
              p99Us: results.all(name, contender, 'p99Us'),
            },
          },
        ]),
    ),
  }));
  const machine = { node: process.version, kernel: release(), cores: availableParallelism() };
  await writeFile(
    values.json,
    `${JSON.stringify({ machine, rounds, targets, figures, notMeasured }, undefined, 2)}\n`,
  );
}
if (values.plot !== undefined) await writeFile(values.plot, plot(results));
process.exit(0);
