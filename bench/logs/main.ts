/**
 * `npm run bench:logs [-- --json FILE] [--rounds N]`: how many lines of 120 bytes a second are taken out of a pipe, line
 * by line and in blocks, beside a C program that does nothing else and the loggers of Debian; how much memory 5,000
 * lines take; what followers get of a flood, and what it costs a call beside it; how soon a line reaches a follower; how long `dbg logs` takes. The
 * contenders take turns in each round.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { callsBesideFlood } from './calls.js';
import { lastLines, writeToFollower } from './clients.js';
import { type Contender, openContenders } from './contenders.js';
import { median } from '../median.js';
import { flood, type Flood } from './flood.js';
import { memoryOfLines, type Memory } from './memory.js';

interface Result {
  readonly name: string;
  readonly linesPerSecond: number;
  readonly cpuSecondsPerMillion: number;
  /** The part of its lines that it has on disk, for one that drops what it cannot keep up with. */
  readonly keptPart?: number;
}

interface Target {
  readonly measure: string;
  readonly value: number;
  readonly atLeast?: number;
  readonly atMost?: number;
}

const kinds = [
  { name: 'line by line', lines: 1_000_000, perWrite: 1 },
  { name: 'blocks of 64 KiB', lines: 3_000_000, perWrite: 546 },
] as const;

async function writeTo(writer: string, pipe: string, lines: number, perWrite: number): Promise<number> {
  const child = spawn(writer, [pipe, String(lines), String(perWrite)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (data: Buffer) => (text += data.toString()));
  await once(child, 'close');
  return lines / Number(text);
}

async function ingest(
  contenders: readonly Contender[],
  writer: string,
  { lines, perWrite }: (typeof kinds)[number],
  rounds: number,
): Promise<Result[]> {
  const rates = contenders.map((): number[] => []);
  const cpu = contenders.map((): number[] => []);
  for (let round = 0; round < rounds; round += 1) {
    for (const [i, contender] of contenders.entries()) {
      const before = contender.cpuSeconds();
      rates[i]?.push(await writeTo(writer, contender.pipe, lines, perWrite));
      cpu[i]?.push(((contender.cpuSeconds() - before) / lines) * 1e6);
      await contender.settle?.();
    }
  }
  return Promise.all(
    contenders.map(async (contender, i) => ({
      name: contender.name,
      linesPerSecond: Math.round(median(rates[i] ?? [])),
      cpuSecondsPerMillion: median(cpu[i] ?? []),
      ...(contender.keptPart !== undefined && { keptPart: await contender.keptPart() }),
    })),
  );
}

/** A target against a program that is not installed here is one that is not met: its value is NaN, in JSON null. */
function targetsOf(name: string, results: readonly Result[]): Target[] {
  const rate = (of: string): number => results.find((result) => result.name === of)?.linesPerSecond ?? NaN;
  const against = (other: string, atLeast: number, of = 'hamlet'): Target => ({
    measure: `${name}, ${of} against ${other}`,
    value: rate(of) / rate(other),
    atLeast,
  });
  return name === 'line by line'
    ? [against('C reader', 0.9), against('s6-log', 1), against('multilog', 1), against('svlogd', 1)]
    : [
        against('C reader', 0.5),
        against('readline', 4),
        against('s6-log', 4),
        against('s6-log', 2.5, 'hamlet on disk'),
      ];
}

const isMet = ({ value, atLeast = -Infinity, atMost = Infinity }: Target): boolean =>
  value >= atLeast && value <= atMost;

const { values } = parseArgs({
  options: { json: { type: 'string' }, rounds: { type: 'string', default: '5' } },
});
// Everyone writes to tmpfs, Hamlet's segments included.
const folder = mkdtempSync('/dev/shm/hamlet-bench-logs-');
process.env.TMPDIR = folder;
const writer = path.join(folder, 'writer');
execFileSync('cc', ['-O2', '-o', writer, new URL('../../../bench/logs/writer.c', import.meta.url).pathname]);
const { all, missing } = await openContenders(folder);
const measures: Record<string, Result[]> = {};
const times: Record<string, number> = {};
const floods: Flood[] = [];
const memory: Memory[] = [];
const targets: Target[] = [];
const rounds = Number(values.rounds);
try {
  if (missing.length > 0)
    console.log(`not installed, so not measured, and their targets not met: ${missing.join(', ')}`);
  for (const kind of kinds) {
    const results = await ingest(all, writer, kind, rounds);
    measures[kind.name] = results;
    targets.push(...targetsOf(kind.name, results));
    console.log(`\n${kind.name}`);
    for (const { name, linesPerSecond, cpuSecondsPerMillion, keptPart } of results) {
      const cpu = `${cpuSecondsPerMillion.toFixed(2)} s CPU a million`;
      const kept = keptPart === undefined ? '' : `, ${(keptPart * 100).toFixed(0)} % of them kept on disk`;
      console.log(
        `  ${name.padEnd(15)} ${(linesPerSecond / 1e6).toFixed(2).padStart(6)} million lines/s, ${cpu}${kept}`,
      );
    }
  }
  memory.push(...(await memoryOfLines()));
  console.log('\nmemory of 5,000 lines of 200 bytes, for each of their bytes');
  for (const { name, perByte } of memory) console.log(`  ${name.padEnd(15)} ${perByte.toFixed(2)}`);
  targets.push({
    measure: 'memory of 5,000 lines of 200 bytes',
    value: memory[0]?.perByte ?? NaN,
    atMost: 1.15,
  });
  const calls = await callsBesideFlood(rounds);
  targets.push({
    measure: 'p99 of a small call beside a flood, against none',
    value: calls.floodedMs / calls.quietMs,
    atMost: 1.3,
  });
  const follower = await writeToFollower(rounds);
  targets.push(
    { measure: 'write to follower, p99 in ms', value: follower.hamletMs, atMost: 10 },
    {
      measure: 'write to follower, p99 against a bare stream',
      value: follower.hamletMs / follower.bareMs,
      atMost: 2,
    },
  );
  const tail = await lastLines(rounds);
  targets.push({
    measure: 'last 5,000 lines, dbg against a minimal program',
    value: tail.dbgMs / tail.minimalMs,
    atMost: 1.3,
  });
  Object.assign(times, { ...calls, ...follower, ...tail });
  console.log('\ntimes, ms');
  for (const [name, ms] of Object.entries(times)) console.log(`  ${name.padEnd(15)} ${ms.toFixed(2)}`);
  // Last, because a thousand followers leave much for the collector of this process.
  floods.push(await flood(writer, 5_000_000, 1), await flood(writer, 1_000_000, 1_000));
  targets.push({
    measure: 'flood before one follower, MB/s',
    value: floods[0]?.mbPerSecond ?? NaN,
    atLeast: 100,
  });
  console.log('\nfloods, each number read once or in a gap');
  for (const { followers, mbPerSecond, readPart, grownMb } of floods) {
    const read = `${(readPart * 100).toFixed(1)} % read by each`;
    console.log(
      `  ${String(followers).padStart(5)} followers ${mbPerSecond.toFixed(0)} MB/s, ${read}, ${grownMb.toFixed(0)} MB more memory`,
    );
  }
} finally {
  await Promise.all(all.map((contender) => contender.close()));
  rmSync(folder, { recursive: true });
}
console.log('\ntargets');
for (const target of targets) {
  const limit = target.atLeast === undefined ? `at most ${target.atMost}` : `at least ${target.atLeast}`;
  const value = Number.isNaN(target.value) ? 'not measured' : target.value.toFixed(2);
  console.log(`  ${isMet(target) ? 'met   ' : 'missed'} ${target.measure}: ${value}, ${limit}`);
}
if (values.json !== undefined) {
  const met = targets.map((target) => ({ ...target, met: isMet(target) }));
  writeFileSync(
    values.json,
    `${JSON.stringify({ node: process.version, missing, measures, memory, floods, times, targets: met }, null, 2)}\n`,
  );
}
