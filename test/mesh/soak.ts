/**
 * The soak: `npm run soak:ipc -- --minutes 10 --seed 1`. Three workers call each other without a break, and are
 * killed at random. Ends with 0 if no answer was wrong and no memory, descriptor or call was left over.
 */
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/lib/errors.js';
import { poll } from '../../src/lib/time.js';
import { startThread, type Thread } from '../../src/host/threads.js';
import { client } from '../../src/ipc/client.js';
import type { Connection } from '../../src/ipc/connection.js';
import { Mesh } from './fixtures/mesh.js';
import { randomOf } from './fixtures/random.js';
import { outcomes, soakServices, type WorkerName, workerNames } from './fixtures/soak-services.js';
import type { SoakData } from './fixtures/soak-worker.js';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string', default: '1' } },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
const random = randomOf(seed);

/** What the process may have grown by, between the end of the first fifth and the end. */
const MAX_GROWTH_MB = 64;
const LOOPS = 6;

const handles = process.getActiveResourcesInfo().length;
const services = Object.values(soakServices);
const mesh = await Mesh.start({
  endpoints: [
    { name: 'main', calls: services },
    ...workerNames.map((name) => ({ name, serves: [soakServices[name]], calls: services })),
  ],
});
const connection: Connection = await mesh.connect('main');
const threads = new Map<WorkerName, Thread>();
const ended = new SharedArrayBuffer(outcomes.length * Int32Array.BYTES_PER_ELEMENT);
const faults: string[] = [];
let starts = 0;

async function start(name: WorkerName): Promise<void> {
  starts += 1;
  const data: SoakData = { name, seed: seed + starts, ended, loops: LOOPS };
  const thread = startThread({
    name,
    url: new URL('./fixtures/soak-worker.js', import.meta.url),
    mesh: { path: mesh.router.path, secret: mesh.router.admit(name) },
    data,
    log: { level: 'silent' },
  });
  threads.set(name, thread);
  // Whatever keeps it from that is reported when it is to be killed.
  await thread.ready.catch(() => undefined);
}

/** Ends a worker in one of the ways in which workers end, and starts it again. */
async function kill(name: WorkerName): Promise<void> {
  const thread = threads.get(name);
  if (random() < 0.5) await thread?.terminate();
  else
    await client(connection, soakServices[name])
      .fail({})
      .catch(() => undefined);
  const exit = await thread?.exited;
  if (exit?.kind === 'crashed' && exit.error?.message !== 'on purpose')
    faults.push(exit.error?.stack ?? 'a crash');
  await start(name);
}

interface Sample {
  readonly rssMb: number;
  readonly descriptors: number;
}

function sample(): Sample {
  return { rssMb: process.memoryUsage.rss() / 2 ** 20, descriptors: readdirSync('/proc/self/fd').length };
}

await Promise.all(workerNames.map((name) => start(name)));
const before = sample();
const samples: Sample[] = [];
let kills = 0;
const startMs = performance.now();
const endMs = startMs + minutes * 60_000;
console.log(`soak: ${minutes} min, seed ${seed}, process ${process.pid}`);
let reportMs = startMs + 10_000;
while (performance.now() < endMs) {
  await delay(500 + random() * 2_500);
  const name = workerNames[Math.floor(random() * workerNames.length)] ?? 'red';
  await kill(name);
  kills += 1;
  samples.push(sample());
  if (performance.now() < reportMs) continue;
  reportMs += 10_000;
  const { rssMb, descriptors } = sample();
  const seconds = Math.round((performance.now() - startMs) / 1_000);
  console.log(`${seconds} s: ${kills} kills, ${Math.round(rssMb)} MB resident, ${descriptors} descriptors`);
}

const tallies = await Promise.all(workerNames.map((name) => client(connection, soakServices[name]).rest({})));
for (const [index, open] of tallies.entries()) {
  for (const [what, count] of Object.entries(open)) {
    if (count !== 0) faults.push(`${workerNames[index]}: ${what} ${count}`);
  }
}
const counts = [...new Int32Array(ended)].map((count, index) => `${outcomes[index]} ${count}`);
console.log(`calls: ${counts.join(', ')}`);
if (connection.outgoing.size > 0)
  faults.push(`${connection.outgoing.size} calls of the main thread are open`);
for (const { name, queuedBytes } of mesh.router.stats()) {
  if (queuedBytes > 0) faults.push(`${queuedBytes} bytes wait for ${name}`);
}
const after = sample();
if (after.descriptors > before.descriptors) {
  faults.push(`${after.descriptors} descriptors instead of ${before.descriptors}`);
}
const median = (some: readonly Sample[]) =>
  some.map(({ rssMb }) => rssMb).sort((a, b) => a - b)[some.length >> 1] ?? 0;
const fifth = Math.ceil(samples.length / 5);
const early = median(samples.slice(fifth, 2 * fifth));
const late = median(samples.slice(-fifth));
console.log(
  `resident memory: ${Math.round(early)} MB in the second fifth, ${Math.round(late)} MB in the last`,
);
if (late - early > MAX_GROWTH_MB) faults.push(`${Math.round(late - early)} MB more in memory`);

await Promise.all([...threads.values()].map((thread) => thread.terminate()));
await mesh[Symbol.asyncDispose]();
await poll(() => (process.getActiveResourcesInfo().length <= handles ? true : undefined), {
  everyMs: 20,
  timeoutMs: 5_000,
  what: 'the end of every handle',
}).catch((error: unknown) =>
  faults.push(`${messageOf(error)}: ${process.getActiveResourcesInfo().join(', ')}`),
);
for (const fault of faults) console.log(`FAULT: ${fault}`);
console.log(`soak: ${kills} kills, ${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;
