import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseConfig } from '../../src/platform/config.js';
import { kubeCommand } from '../../src/platform/components.js';
import { inspectMachine, requireAddress } from '../../src/platform/machine.js';
import { firstAddress } from '../../src/platform/addresses.js';
import { runPaths } from '../../src/platform/paths.js';
import { linkPrograms } from '../../src/platform/programs.js';
import { resolveComponents } from '../../src/provision/components.js';
import { poll } from '../../src/lib/time.js';
import { TestNode } from '../../test/node/support/hamlet.js';
import { median } from '../median.js';

/** How Hamlet's start compares with a plain shell script's, and what it costs: `npm run bench:boot`. */
const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    runs: { type: 'string', default: '5' },
  },
});
const runs = Number(values.runs);
const script = fileURLToPath(new URL('../../../bench/boot/plain-node.sh', import.meta.url));
const timeoutMs = 120_000;

/** A figure of each run, in the order in which they were made. */
const figures = new Map<string, number[]>();
const record = (name: string, value: number): void => {
  figures.set(name, [...(figures.get(name) ?? []), value]);
  process.stdout.write(`${name.padEnd(44)} ${value.toFixed(1)}\n`);
};

interface Startable {
  readonly name: string;
  start(): Promise<number>;
  stop(): Promise<void>;
}

for (let run = 0; run < runs; run++) {
  // Interleaved, and in turn: whatever else this machine does meets all of them.
  for (const make of run % 2 === 0 ? [makeHamlet, makeScript] : [makeScript, makeHamlet]) {
    const { subject, node } = await make();
    try {
      record(`${subject.name}: NodeReady from empty state, ms`, await subject.start());
      await subject.stop();
      record(`${subject.name}: NodeReady from kept state, ms`, await subject.start());
      if (subject.name === 'hamlet') await residentMemory(node.pid);
      await subject.stop();
    } finally {
      await subject.stop();
      await node.remove();
    }
  }
  await firstDebugCall();
}
report();

async function makeHamlet(): Promise<{ subject: Startable; node: TestNode }> {
  const node = await TestNode.create();
  const start = async (): Promise<number> => {
    const startedMs = performance.now();
    node.start();
    await node.waitForOutput(/ok {2}NodeReady/, timeoutMs);
    return performance.now() - startedMs;
  };
  const stop = async (): Promise<void> => {
    await node.stop();
  };
  return { subject: { name: 'hamlet', start, stop }, node };
}

/** The script in a folder that is laid out like a node's, so that a node's reset takes it away again. */
async function makeScript(): Promise<{ subject: Startable; node: TestNode }> {
  const node = await TestNode.create();
  const environment = path.join(node.folder, 'environment');
  writeFileSync(environment, await scriptEnvironment(node));
  let child: ReturnType<typeof spawn> | undefined;
  const start = async (): Promise<number> => {
    const startedMs = performance.now();
    const started = spawn(script, [node.folder, environment], { stdio: ['ignore', 'pipe', 'inherit'] });
    child = started;
    let output = '';
    started.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    await poll(() => output.includes('ready') || undefined, { everyMs: 5, timeoutMs, what: 'the script' });
    return performance.now() - startedMs;
  };
  const stop = async (): Promise<void> => {
    const stopping = child;
    child = undefined;
    if (stopping === undefined) return;
    stopping.kill('SIGTERM');
    await poll(() => (stopping.exitCode ?? stopping.signalCode) !== null || undefined, {
      everyMs: 20,
      timeoutMs,
      what: 'the end of the script',
    });
  };
  return { subject: { name: 'script', start, stop }, node };
}

async function scriptEnvironment(node: TestNode): Promise<string> {
  const config = parseConfig(JSON.parse(readFileSync(node.config, 'utf8')), node.config);
  const components = await resolveComponents(config, AbortSignal.timeout(timeoutMs));
  const machine = inspectMachine(undefined);
  const bin = runPaths(config.paths.run).bin;
  linkPrograms(components.programs, bin);
  const kubelet = kubeCommand(components, 'kubelet');
  const variables = {
    ETCD: components.etcd,
    CONTAINERD: components.containerd,
    RUNC: components.runc,
    CTR: components.ctr,
    KUBE: kubelet[0],
    CNI_BIN: components.cniBinDir,
    PAUSE_ARCHIVE: components.pauseImage.archive,
    PAUSE_REF: components.pauseImage.ref,
    BIN: bin,
    ADDRESS: requireAddress(machine),
    NODE: 'plain',
    BRIDGE: config.network.bridge,
    POD_CIDR: config.network.podCidr,
    SERVICE_CIDR: config.network.serviceCidr,
    SERVICE_IP: firstAddress(config.network.serviceCidr),
    CGROUP_DRIVER: machine.cgroupDriver,
    RESTRICT_OOM: !machine.mayRaiseLimits,
    MASQUERADE_ALL: !machine.bridgeCallsIptables,
    PORT_APISERVER: config.ports.apiserver,
    PORT_KUBELET: config.ports.kubelet,
    PORT_KUBELET_HEALTH: config.ports.kubeletHealth,
    PORT_CONTROLLER_MANAGER: config.ports.controllerManager,
    PORT_SCHEDULER: config.ports.scheduler,
    PORT_PROXY_HEALTH: config.ports.proxyHealth,
    PORT_PROXY_METRICS: config.ports.proxyMetrics,
  };
  return Object.entries(variables)
    .map(([name, value]) => `${name}='${value}'\n`)
    .join('');
}

/** VmRSS of Hamlet's own process, once the node is Ready and the start's garbage had a moment to be collected. */
async function residentMemory(pid: number): Promise<void> {
  const read = (): number =>
    Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_000;
  let last = read();
  // Idle: it has not grown or shrunk by more than 1 % within a second.
  await poll(
    () => {
      const now = read();
      const settled = Math.abs(now - last) < last / 100;
      last = now;
      return settled || undefined;
    },
    { everyMs: 1_000, timeoutMs: 30_000, what: 'settled memory' },
  );
  record('hamlet: resident memory, MB', last);
}

/** From exec to the first answered debug call, against the time that Node itself takes to start and end. */
async function firstDebugCall(): Promise<void> {
  const bareStartedMs = performance.now();
  spawnSync(process.execPath, ['-e', '0']);
  record('node -e 0, ms', performance.now() - bareStartedMs);
  const node = await TestNode.create();
  const { debugCall } = await import('./debug-call.js');
  const startedMs = performance.now();
  node.start();
  try {
    await debugCall(node.run.debugSocket, timeoutMs);
    record('hamlet: first answered debug call, ms', performance.now() - startedMs);
  } finally {
    await node.remove();
  }
}

function medianOf(name: string): number {
  return median(figures.get(name) ?? []);
}

function report(): void {
  const ratio = (a: string, b: string): number => medianOf(a) / medianOf(b);
  const rows = [
    {
      name: 'exec to NodeReady against the script, empty state',
      value: ratio('hamlet: NodeReady from empty state, ms', 'script: NodeReady from empty state, ms'),
      target: 0.95,
    },
    {
      name: 'exec to NodeReady against the script, kept state',
      value: ratio('hamlet: NodeReady from kept state, ms', 'script: NodeReady from kept state, ms'),
      target: 0.9,
    },
    {
      name: 'exec to the first answered debug call, against node -e 0',
      value: ratio('hamlet: first answered debug call, ms', 'node -e 0, ms'),
      target: 5,
    },
    { name: 'resident memory, MB', value: medianOf('hamlet: resident memory, MB'), target: 150 },
  ];
  const targets = rows.map((row) => ({ ...row, met: row.value <= row.target }));
  process.stdout.write(`\nMedians of ${runs} runs:\n`);
  for (const name of figures.keys())
    process.stdout.write(`  ${name.padEnd(58)} ${medianOf(name).toFixed(1)}\n`);
  process.stdout.write('\n');
  for (const { name, value, target, met } of targets) {
    const verdict = met ? 'met' : 'not met';
    process.stdout.write(
      `  ${name.padEnd(58)} ${value.toFixed(2).padStart(7)}  at most ${target}: ${verdict}\n`,
    );
  }
  if (values.json !== undefined) {
    writeFileSync(
      values.json,
      `${JSON.stringify({ figures: Object.fromEntries(figures), targets }, null, 2)}\n`,
    );
  }
}
