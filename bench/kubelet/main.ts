import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { loadConfig } from '../../src/platform/config.js';
import { list, pod } from '../../test/kubernetes/volumes.js';
import { TestNode } from '../../test/node/support/hamlet.js';
import { testImage, writeTestImage } from '../../test/node/support/image.js';
import { mountsPerSecond } from './mounts.js';
import { countPrograms, cpuMs, kubeletPid, openSummary } from './kubelet.js';
import { unpatchedComponents } from './unpatched.js';

/**
 * The kubelet with and without Hamlet's patches, on a node with the volumes of a hundred pods: `npm run bench:kubelet`.
 * The windows have to be longer than two minutes for every volume to be measured in each: the kubelet waits one to two
 * minutes between two measurements.
 */
const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    pods: { type: 'string', default: '10' },
    /** Sets of four volumes in each pod. */
    sets: { type: 'string', default: '10' },
    window: { type: 'string', default: '130' },
  },
});
const pods = Number(values.pods);
const sets = Number(values.sets);
const windowMs = Number(values.window) * 1_000;
/** As often as a metrics collector asks. */
const summaryEveryMs = 10_000;

const figures = new Map<string, number>();
const record = (name: string, value: number): void => {
  figures.set(name, value);
  process.stdout.write(`${name.padEnd(58)} ${value.toFixed(1)}\n`);
};

const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-bench-'));
try {
  const config = await loadConfig(process.env.HAMLET_CONFIG);
  const { cacheDir } = config.components;
  for (const [name, by] of [
    ['patched', 'syscall'],
    ['unpatched', 'program'],
  ] as const) {
    for (const [kind, rate] of await mountsPerSecond(config, by, folder))
      record(`${name}: ${kind} mounts and unmounts per second`, rate);
  }
  const dir = await unpatchedComponents(folder, cacheDir);
  await measure('patched', {});
  await measure('unpatched', { components: { dir, cacheDir } });
} finally {
  rmSync(folder, { recursive: true });
}
report();

async function measure(name: string, settings: object): Promise<void> {
  const node = await TestNode.create(settings);
  try {
    writeTestImage(path.join(node.imagesDir, 'busybox.tar'));
    node.start();
    await node.ready();
    await node.kubectl(['create', '-f', '-'], { input: JSON.stringify(objects()) });
    for (let index = 0; index < pods; index++) await node.waitForPod(`pod-${index}`);
    const words = ['get', 'nodes', '-o', 'jsonpath={.items[*].metadata.name}'];
    const summary = await openSummary(node, (await node.kubectl(words)).trim());
    try {
      await measureWindows(name, node, () => summary.timeMs());
    } finally {
      summary.close();
    }
  } finally {
    await node.remove();
  }
}

async function measureWindows(name: string, node: TestNode, askMs: () => Promise<number>): Promise<void> {
  const pid = kubeletPid(node);
  // The first measurement of every volume is over.
  await sleep(windowMs / 2);

  const before = cpuMs(pid);
  const times = await askThroughWindow(askMs);
  record(`${name}: CPU of kubelet and children per summary, ms`, (cpuMs(pid) - before) / times.length);
  record(`${name}: median time of one summary, ms`, median(times));

  // Counting costs time of its own, so it has a window of its own.
  const stopCounting = countPrograms(node);
  await askThroughWindow(askMs);
  record(`${name}: processes started per minute`, (stopCounting() * 60_000) / windowMs);

  // A burst shows what a summary itself costs, without what the kubelet does all the time.
  const burst = 30;
  const startedMs = performance.now();
  const burstBefore = cpuMs(pid);
  for (let index = 0; index < burst; index++) await askMs();
  record(`${name}: CPU per summary in a burst, ms`, (cpuMs(pid) - burstBefore) / burst);
  record(`${name}: summaries per second in a burst`, (burst * 1_000) / (performance.now() - startedMs));
}

async function askThroughWindow(askMs: () => Promise<number>): Promise<number[]> {
  const times: number[] = [];
  const endMs = performance.now() + windowMs;
  while (performance.now() < endMs) {
    times.push(await askMs());
    await sleep(Math.max(0, Math.min(summaryEveryMs, endMs - performance.now())));
  }
  return times;
}

function objects(): object {
  const data = Object.fromEntries(
    Array.from({ length: 10 }, (_, index) => [`key-${index}`, 'x'.repeat(1_000)]),
  );
  const volumes = Array.from({ length: sets }, (_, index) => [
    { name: `config-${index}`, configMap: { name: 'config' } },
    { name: `secret-${index}`, secret: { secretName: 'secret' } },
    { name: `projected-${index}`, projected: { sources: [{ configMap: { name: 'config' } }] } },
    { name: `empty-${index}`, emptyDir: {} },
  ]).flat();
  const volumeMounts = volumes.map((volume) => ({ name: volume.name, mountPath: `/${volume.name}` }));
  return list([
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'config' }, data },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'secret' }, stringData: data },
    ...Array.from({ length: pods }, (_, index) => pod(`pod-${index}`, testImage, { volumeMounts }, volumes)),
  ]);
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
}

function report(): void {
  const ratio = (name: string): number =>
    (figures.get(`patched: ${name}`) ?? NaN) / (figures.get(`unpatched: ${name}`) ?? NaN);
  const rows = [
    {
      name: 'processes started per minute by the patched kubelet',
      value: figures.get('patched: processes started per minute') ?? NaN,
      target: 0,
    },
    {
      name: 'CPU of kubelet and children per summary, against unpatched',
      value: ratio('CPU of kubelet and children per summary, ms'),
      target: 0.1,
    },
  ];
  const targets = rows.map((row) => ({ ...row, met: row.value <= row.target }));
  process.stdout.write('\n');
  for (const { name, value, target, met } of targets) {
    const verdict = met ? 'met' : 'not met';
    process.stdout.write(`  ${name.padEnd(62)} ${value.toFixed(2)}  at most ${target}: ${verdict}\n`);
  }
  if (values.json !== undefined) {
    const result = { pods, volumesPerPod: sets * 4, windowMs, figures: Object.fromEntries(figures), targets };
    writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
  }
}
