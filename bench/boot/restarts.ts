import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { healthyResetMs } from '../../src/supervision/backoff.js';
import { poll, sleep } from '../../src/lib/time.js';
import { parseConfig } from '../../src/platform/config.js';
import { etcdSocket } from '../../src/platform/paths.js';
import { features } from '../../src/platform/kubernetes-versions.js';
import { inspectMachine, requireAddress } from '../../src/platform/machine.js';
import { sendSignal } from '../../src/platform/process.js';
import { resolveComponents } from '../../src/provision/components.js';
import { apiserver } from '../../src/workers/kubelet/components/apiserver.js';
import { etcd } from '../../src/workers/kubelet/components/etcd.js';
import { proxy } from '../../src/workers/kubelet/components/proxy.js';
import type { Component, Context } from '../../src/workers/kubelet/component.js';
import { freePorts, TestNode } from '../../test/node/support/hamlet.js';
import { median } from '../median.js';
import { startApiServer } from './etcd-load.js';

/**
 * From a component's SIGKILL to its exec, and to healthy again: etcd under Hamlet, after a healthy spell on a whole
 * node, beside an etcd with the same data and an API server of its own under Debian's `runsv`, and a component that takes
 * longer to start, kube-proxy: `npm run bench:restarts`.
 */
const { values } = parseArgs({
  options: { json: { type: 'string' }, runs: { type: 'string', default: '5' } },
});
const runs = Number(values.runs);
const never = new AbortController().signal;
const timeoutMs = 60_000;
/** So long nothing is killed before the next one is: what came back last would still be busy with its start. */
const restMs = 5_000;

interface Figures {
  /** Until the process that takes its place executes the component's program. */
  readonly execMs: number;
  readonly healthyMs: number;
}

/** A component, and the process that has started it. */
interface Supervised {
  readonly name: string;
  readonly supervisor: number;
  readonly component: Component;
}

const figures = new Map<string, Figures[]>();
const node = await TestNode.create();
let runsv: (Supervised & { end(): void }) | undefined;
try {
  const hamlet = await supervisedByHamlet();
  runsv = await startRunsv(hamlet);
  for (let run = 0; run < runs; run++) {
    const spell = sleep(healthyResetMs + 1_000, never);
    await measure(runsv);
    await spell;
    // In this order: without etcd the other one may have to be started again too.
    for (const supervised of [hamlet.proxy, hamlet.etcd]) await measure(supervised);
  }
} finally {
  runsv?.end();
  await node.remove();
}
report();

async function measure(supervised: Supervised): Promise<void> {
  await sleep(restMs, never);
  const { name, component } = supervised;
  const old = pidOf(supervised) ?? 0;
  const killedMs = performance.now();
  sendSignal(old, 'SIGKILL');
  await poll(() => pidOf(supervised, old), { everyMs: 1, timeoutMs, what: 'the exec' });
  const execMs = performance.now() - killedMs;
  await healthy(component);
  const figure = { execMs, healthyMs: performance.now() - killedMs };
  figures.set(name, [...(figures.get(name) ?? []), figure]);
  process.stdout.write(
    `${name.padEnd(18)} exec ${execMs.toFixed(1)} ms, healthy ${figure.healthyMs.toFixed(1)} ms\n`,
  );
}

/**
 * The process that is the component by now: both supervisors have a shell first in its place. `old` has just been killed
 * and may be there for a while.
 */
function pidOf({ supervisor, component }: Supervised, old?: number): number | undefined {
  const commandLine = component
    .command()
    .argv.map((word) => `${word}\0`)
    .join('');
  const pids = readFileSync(`/proc/${supervisor}/task/${supervisor}/children`, 'latin1').trim().split(' ');
  return pids.map(Number).find((pid) => pid !== old && commandLineOf(pid) === commandLine);
}

/** Empty when the process is gone. */
function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function healthy(component: Component): Promise<true> {
  return poll(
    async (signal) => {
      await component.probe(signal);
      return true as const;
    },
    { everyMs: 2, timeoutMs, what: `a healthy ${component.name}` },
  );
}

async function contextOf(state: string, run: string, ports: object = {}): Promise<Context> {
  const config = parseConfig({ paths: { state, run }, ports }, 'bench');
  const components = await resolveComponents(config, AbortSignal.timeout(timeoutMs));
  const machine = inspectMachine(undefined);
  return {
    config,
    components,
    machine,
    node: { name: 'bench', address: requireAddress(machine) },
    features: features(components.kubernetesVersion),
  };
}

interface OfHamlet {
  readonly etcd: Supervised;
  readonly proxy: Supervised;
  readonly context: Context;
}

async function supervisedByHamlet(): Promise<OfHamlet> {
  const [state, run] = [path.join(node.folder, 'state'), path.join(node.folder, 'run')];
  node.start();
  await node.ready();
  const context = await contextOf(state, run, node.ports);
  const supervisor = node.pid;
  return {
    etcd: { name: 'hamlet', supervisor, component: etcd(context) },
    proxy: { name: 'hamlet, kube-proxy', supervisor, component: proxy(context) },
    context,
  };
}

/**
 * Runs etcd with the data of a node and an API server that it serves: an idle and empty one would have less to do at its
 * start, and less to give back at its end.
 */
async function startRunsv({ context: original }: OfHamlet): Promise<Supervised & { end(): void }> {
  const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-runsv-'));
  const context = await contextOf(path.join(folder, 'state'), path.join(folder, 'run'));
  const component = etcd(context);
  await component.prepare(never, (_what, until) => until);
  cpSync(original.config.paths.etcd, context.config.paths.etcd, { recursive: true });
  const { argv, cwd } = component.command();
  const service = path.join(folder, 'etcd');
  mkdirSync(service);
  // etcd 3.4 does not take its own old sockets away.
  const lines = ['#!/bin/sh', `cd ${cwd}`, 'rm -f client:0 peer:0', `exec ${argv.join(' ')} 2>/dev/null`];
  writeFileSync(path.join(service, 'run'), `${lines.join('\n')}\n`, { mode: 0o755 });
  const process = spawn('runsv', [service], { stdio: 'ignore' });
  await Promise.race([once(process, 'spawn'), once(process, 'error').then(missing)]);
  const supervised = { name: 'runsv', supervisor: process.pid ?? 0, component };
  let served: ChildProcess | undefined;
  const end = () => {
    served?.kill('SIGKILL');
    const last = pidOf(supervised) ?? 0;
    process.kill('SIGKILL');
    if (last > 0) sendSignal(last, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  };
  try {
    await healthy(component);
    const [port = 0] = await freePorts(1);
    const ports = { ...original.config.ports, apiserver: port };
    const server = apiserver({ ...original, config: { ...original.config, ports } }, () => undefined);
    served = await startApiServer(server, etcdSocket(context.config.paths.run));
  } catch (error) {
    end();
    throw error;
  }
  return { ...supervised, end };
}

function missing([cause]: unknown[]): never {
  throw new Error("runsv cannot be started; it comes with Debian's package runit", { cause });
}

function medianOf(name: string, figure: (figures: Figures) => number): number {
  return median((figures.get(name) ?? []).map(figure));
}

function report(): void {
  const exec = (name: string) => medianOf(name, ({ execMs }) => execMs);
  const start = (name: string) => medianOf(name, ({ execMs, healthyMs }) => healthyMs - execMs);
  const rows = [
    { name: 'SIGKILL to exec against runsv', value: exec('hamlet') / exec('runsv'), target: 1 },
    { name: 'SIGKILL to exec, ms', value: exec('hamlet'), target: 50 },
    ...[
      ['etcd', 'hamlet'],
      ['kube-proxy', 'hamlet, kube-proxy'],
    ].map(([component = '', name = '']) => ({
      name: `SIGKILL to healthy against its own start, ${component}`,
      value: medianOf(name, ({ healthyMs }) => healthyMs) / start(name),
      target: 1.1,
    })),
  ];
  const targets = rows.map((row) => ({ ...row, met: row.value <= row.target }));
  process.stdout.write(`\nMedians of ${runs} runs:\n`);
  for (const { name, value, target, met } of targets) {
    process.stdout.write(
      `  ${name.padEnd(58)} ${value.toFixed(2).padStart(7)}  at most ${target}: ${met ? 'met' : 'not met'}\n`,
    );
  }
  if (values.json === undefined) return;
  const all = Object.fromEntries(figures);
  writeFileSync(values.json, `${JSON.stringify({ figures: all, targets }, null, 2)}\n`);
}
