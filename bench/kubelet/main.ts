import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { poll } from '../../src/lib/time.js';
import { loadConfig } from '../../src/platform/config.js';
import { DebianProvider } from '../../src/provision/debian-provider.js';
import { silentProgress } from '../../src/provision/progress.js';
import { list, pod } from '../../test/kubernetes/volumes.js';
import { TestNode } from '../../test/node/support/hamlet.js';
import { testImage, writeTestImage } from '../../test/node/support/image.js';
import { median } from '../median.js';
import { mountsPerSecond } from './mounts.js';
import { countPrograms, cpuMs, openSummary, type Summary } from './kubelet.js';
import { KubeletSwitch, type Mode } from './switch.js';
import { unpatchedKube } from './unpatched.js';

/**
 * The kubelet with and without Hamlet's patches, on one node with the volumes of a hundred pods: `npm run
 * bench:kubelet`. The two run there in turns.
 *
 * What a kubelet costs by itself, for its pods' health and the node's, is neither kubelet's difference nor that of a
 * summary. So each turn has a window in which no figures are collected, and one in which they are, twenty times as often
 * as usual to stand out from the noise: a summary twice a second instead of every ten seconds, every volume measured
 * each three to six seconds instead of each one or two minutes. The difference in CPU time, by the number of summaries, is what a
 * summary costs together with the figures that it gives.
 */
const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    pods: { type: 'string', default: '10' },
    /** Sets of four volumes in each pod. */
    sets: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '2' },
    /** Of a window for CPU time, in seconds. */
    window: { type: 'string', default: '45' },
    /** Of the window in which processes are counted, at the usual pace. */
    'count-window': { type: 'string', default: '65' },
  },
});
const pods = Number(values.pods);
const sets = Number(values.sets);
const rounds = Number(values.rounds);
const windowMs = Number(values.window) * 1_000;
const countWindowMs = Number(values['count-window']) * 1_000;
/** How often a metrics collector asks, and how often the kubelet measures volumes (volumeStatsAggPeriod). */
const usual = { summaryEveryMs: 10_000, volumesEveryS: 60 };
const faster = 20;
const never = -1;
/** A kubelet is busy with finding everything again when it has started. */
const settleMs = 15_000;
const startTimeoutMs = 60_000;

const kubelets = ['patched', 'unpatched'] as const;
type Kubelet = (typeof kubelets)[number];
const mountBy = { patched: 'syscall', unpatched: 'program' } as const;

const figures = new Map<string, number>();
const record = (name: string, value: number): void => {
  figures.set(name, value);
  process.stdout.write(`${name.padEnd(58)} ${value.toFixed(1)}\n`);
};

const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-bench-'));
try {
  const config = await loadConfig(process.env.HAMLET_CONFIG);
  for (const kubelet of kubelets) {
    for (const [kind, rate] of await mountsPerSecond(config, mountBy[kubelet], folder))
      record(`${kubelet}: ${kind} mounts and unmounts per second`, rate);
  }
  const { kube } = await new DebianProvider(config).provision({
    progress: silentProgress,
    signal: AbortSignal.timeout(startTimeoutMs),
  });
  if (kube.kind !== 'multicall')
    throw new Error('components.dir is set: the benchmark is of what Hamlet builds');
  const { cacheDir } = config.components;
  await measure({ patched: kube.path, unpatched: await unpatchedKube(folder, cacheDir) }, cacheDir);
} finally {
  rmSync(folder, { recursive: true });
}
report();

async function measure(binaries: Readonly<Record<Kubelet, string>>, cacheDir: string): Promise<void> {
  const kubelet = new KubeletSwitch(folder, binaries.patched);
  const node = await TestNode.create({ components: { dir: kubelet.dir, cacheDir } });
  try {
    writeTestImage(path.join(node.imagesDir, 'busybox.tar'));
    node.start();
    await node.ready();
    await node.kubectl(['create', '-f', '-'], { input: JSON.stringify(objects()) });
    for (let index = 0; index < pods; index++) await node.waitForPod(`pod-${index}`);
    const words = ['get', 'nodes', '-o', 'jsonpath={.items[*].metadata.name}'];
    const summary = await openSummary(node, (await node.kubectl(words)).trim());
    const turn = async (name: Kubelet, volumesEveryS: number): Promise<number> => {
      const mode: Mode = { kube: binaries[name], mountBy: mountBy[name], volumesEveryS };
      const pid = await kubelet.to(node, mode);
      await complete(summary, volumesEveryS === never ? 0 : sets * 4);
      await sleep(settleMs);
      return pid;
    };
    try {
      await measureCpu(turn, summary);
      for (const name of kubelets) {
        await turn(name, usual.volumesEveryS);
        const stopCounting = countPrograms(node);
        await askThroughWindow(summary, countWindowMs, usual.summaryEveryMs);
        record(`${name}: processes started per minute`, (stopCounting() * 60_000) / countWindowMs);
      }
    } finally {
      summary.close();
    }
  } finally {
    await node.remove();
  }
}

async function measureCpu(
  turn: (kubelet: Kubelet, volumesEveryS: number) => Promise<number>,
  summary: Summary,
): Promise<void> {
  const sums = {
    patched: { idleMs: 0, collectingMs: 0, timesMs: [] as number[] },
    unpatched: { idleMs: 0, collectingMs: 0, timesMs: [] as number[] },
  };
  for (let round = 0; round < rounds; round++) {
    for (const name of kubelets) {
      const idle = await turn(name, never);
      const idleBefore = cpuMs(idle);
      await sleep(windowMs);
      sums[name].idleMs += cpuMs(idle) - idleBefore;

      const collecting = await turn(name, usual.volumesEveryS / faster);
      const before = cpuMs(collecting);
      sums[name].timesMs.push(...(await askThroughWindow(summary, windowMs, usual.summaryEveryMs / faster)));
      sums[name].collectingMs += cpuMs(collecting) - before;
    }
  }
  for (const name of kubelets) {
    const { idleMs, collectingMs, timesMs } = sums[name];
    record(`${name}: CPU without collecting, ms per second`, (idleMs * 1_000) / (windowMs * rounds));
    record(`${name}: CPU while collecting, ms per second`, (collectingMs * 1_000) / (windowMs * rounds));
    record(`${name}: CPU of kubelet and children per summary, ms`, (collectingMs - idleMs) / timesMs.length);
    record(`${name}: median time of one summary, ms`, median(timesMs));
  }
}

/** Waits until the kubelet knows all pods, and each with so many volumes. */
async function complete(summary: Summary, volumes: number): Promise<void> {
  await poll(
    async () => {
      const found = (await summary.ask().catch(() => undefined))?.pods ?? [];
      const isComplete = found.every(({ volume = [] }) => volume.length >= volumes);
      return (found.length >= pods && isComplete) || undefined;
    },
    {
      everyMs: 500,
      timeoutMs: startTimeoutMs + 2_000 * usual.volumesEveryS,
      what: 'the figures of all pods',
    },
  );
}

async function askThroughWindow(summary: Summary, forMs: number, everyMs: number): Promise<number[]> {
  const times: number[] = [];
  const startedMs = performance.now();
  for (let next = startedMs; next < startedMs + forMs; next += everyMs) {
    await sleep(Math.max(0, next - performance.now()));
    const askedMs = performance.now();
    await summary.ask();
    times.push(performance.now() - askedMs);
  }
  await sleep(Math.max(0, startedMs + forMs - performance.now()));
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
    {
      name: 'median time of one summary, against unpatched',
      value: ratio('median time of one summary, ms'),
      target: 1,
    },
    ...['bind', 'tmpfs'].map((kind) => ({
      name: `time of a ${kind} mount and unmount, against unpatched`,
      value: 1 / ratio(`${kind} mounts and unmounts per second`),
      target: 1,
    })),
  ];
  const targets = rows.map((row) => ({ ...row, met: row.value <= row.target }));
  process.stdout.write('\n');
  for (const { name, value, target, met } of targets) {
    const verdict = met ? 'met' : 'not met';
    process.stdout.write(`  ${name.padEnd(62)} ${value.toFixed(2)}  at most ${target}: ${verdict}\n`);
  }
  if (values.json !== undefined) {
    const result = {
      pods,
      volumesPerPod: sets * 4,
      rounds,
      windowMs,
      countWindowMs,
      figures: Object.fromEntries(figures),
      targets,
    };
    writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
  }
}
