import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Child } from '../../src/ipc/services/host.js';
import { lockHolder } from '../../src/platform/lock.js';
import { History } from '../../src/host/history.js';
import { stdoutPaths } from '../../src/host/pipes.js';
import { historyFile } from '../../src/platform/paths.js';
import { sendSignal } from '../../src/platform/process.js';
import { poll } from '../../src/lib/time.js';
import { TestNode } from '../node/support/hamlet.js';
import { testImage, writeTestImage } from '../node/support/image.js';
import type { Ended, Running } from './continuity.js';
import { Threads } from './threads.js';
import { Clock, Exit } from './tools.js';
import { usageOf, type Usage } from './usage.js';

const pods = ['counter-1', 'counter-2'];
/** A line every tenth of a second: light load that shows each gap. */
const counting = 'i=0; while true; do i=$((i+1)); echo "line $i"; sleep 0.1; done';

/** Room for etcd, which takes 64 MB at a time for its log, and for what the chaos adds to it. */
const stateSize = '640m';

/** A node with a state folder on a small file system of its own, and what the faults and the checks need of it. */
export class ChaosNode {
  readonly node: TestNode;
  readonly stateFolder: string;
  readonly clock: Clock;
  readonly exit: Exit;
  readonly threads: Threads;
  readonly #toldGaps = new Set<string>();

  private constructor(node: TestNode) {
    this.node = node;
    this.stateFolder = path.join(node.folder, 'state');
    this.clock = new Clock(node.folder);
    this.exit = new Exit(node.folder);
    this.threads = new Threads(node.folder);
  }

  static async create(): Promise<ChaosNode> {
    const node = await TestNode.create();
    const chaos = new ChaosNode(node);
    writeTestImage(path.join(node.imagesDir, 'busybox.tar'));
    // The kubelet would evict pods from a full disk, as it should: what it and containerd have lies elsewhere.
    mkdirSync(chaos.stateFolder);
    mount('-t', 'tmpfs', '-o', `size=${stateSize}`, 'tmpfs', chaos.stateFolder);
    for (const name of ['kubelet', 'containerd']) {
      const [from, to] = [path.join(node.folder, `big-${name}`), path.join(chaos.stateFolder, name)];
      mkdirSync(from);
      mkdirSync(to);
      mount('--bind', from, to);
    }
    return chaos;
  }

  /** Starts Hamlet, ready to have its threads ended from inside and its clock stepped. */
  start(): void {
    this.node.start({ ...this.threads.env, ...this.clock.env });
  }

  kill(pid: number, signal: NodeJS.Signals): void {
    process.kill(pid, signal);
  }

  /** Ends all of Hamlet at once: after an upgrade the process that runs the node is the child of the first one. */
  async killHamlet(signal: NodeJS.Signals): Promise<void> {
    const { pid } = this;
    if (pid !== this.node.pid) sendSignal(pid, signal);
    await this.node.stop(signal);
    await poll(() => lockHolder(this.node.run.lock) === undefined || undefined, {
      everyMs: 20,
      timeoutMs: 20_000,
      what: 'the end of all of Hamlet',
    });
  }

  async startPods(): Promise<void> {
    for (const name of pods) {
      await this.node.kubectl(['create', '-f', '-'], { input: podNamed(name) });
      await this.node.waitForPod(name);
    }
  }

  /** The process that runs the node; the one that was started, or its successor. */
  get pid(): number {
    return lockHolder(this.node.run.lock) ?? this.node.pid;
  }

  /** What is on record as running. */
  get components(): readonly Child[] {
    return this.node.components;
  }

  component(name: string): Child {
    const child = this.components.find((one) => one.name === name);
    if (child === undefined) throw new Error(`${name} does not run`);
    return child;
  }

  /** How many ends of something are in the node's history, as far as that is on the disk. */
  restarts(name: string): number {
    return new History(historyFile(this.stateFolder)).list(name, 0).at(-1)?.id ?? 0;
  }

  /** What has ended so far, as far as the node keeps it, oldest first. */
  async history(): Promise<readonly Recorded[]> {
    const { code, stdout, stderr } = await this.node.dbg(['history', '-o', 'json']);
    if (code !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as readonly Recorded[];
  }

  /** The components as they run now. */
  async running(): Promise<Running> {
    return { children: this.components, history: await this.history() };
  }

  /** What has ended and is not on record as well again, although nothing of its name has ended since. */
  async openRestarts(): Promise<string[]> {
    const latest = new Map((await this.history()).map((restart) => [restart.name, restart]));
    return [...latest.values()]
      .filter(({ healthy }) => healthy === null)
      .map(({ id, name }) => `restart ${id} of ${name} is open`);
  }

  /** The pipes that the components have for their stdout. */
  get stdouts(): Iterable<string> {
    return stdoutPaths(this.node.run.pipes).values();
  }

  /** Waits until a condition is true, or is false: neither unknown, nor of a node that does not answer yet. */
  async waitForCondition(name: string, wanted: boolean, timeoutMs: number, signal: AbortSignal) {
    await poll(
      async () => {
        const { stdout } = await this.node.dbg(['condition', '-o', 'json', name]);
        if (stdout === '') return undefined;
        return (JSON.parse(stdout) as { status: string }).status === String(wanted) || undefined;
      },
      { everyMs: 200, timeoutMs, signal, what: `${name} ${wanted ? 'true' : 'not true'}` },
    );
  }

  /** What must be the same before and after each fault. */
  async facts(): Promise<Facts> {
    const fields =
      '.metadata.uid .status.containerStatuses[0].restartCount .status.containerStatuses[0].containerID';
    const columns = fields
      .split(' ')
      .map((field, index) => `C${index}:${field}`)
      .join(',');
    const found = await this.node.kubectl(['get', 'pods', '--no-headers', '-o', `custom-columns=${columns}`]);
    const certs = await this.node.dbg(['certs', '-o', 'json']);
    const all = JSON.parse(certs.stdout) as readonly { name: string; usage: string; serial: string }[];
    const authorities = all.filter(({ usage }) => usage === 'authority');
    return {
      pods: found.trim().split('\n').sort(),
      authorities: authorities.map(({ name, serial }) => `${name} ${serial}`),
    };
  }

  usage(): Usage {
    return usageOf(this.pid, this.node.folder);
  }

  /** Where lines of a pod are missing or not in order, in words; each place once, for the fault that has done it. */
  async gaps(): Promise<string[]> {
    const all = await Promise.all(
      pods.map(async (name) => {
        const lines = (await this.node.kubectl(['logs', name])).split('\n').filter((line) => line !== '');
        return breaksOf(lines).map((place) => `${name} has ${place}`);
      }),
    );
    const fresh = all.flat().filter((gap) => !this.#toldGaps.has(gap));
    for (const gap of fresh) this.#toldGaps.add(gap);
    return fresh;
  }

  /** Takes everything away. */
  async remove(): Promise<void> {
    await this.node.stop('SIGTERM');
    // The first time for what is in the mounts, which it rightly leaves where they are.
    await this.node.reset();
    for (const name of ['kubelet', 'containerd']) execFileSync('umount', [path.join(this.stateFolder, name)]);
    const { code, stdout, stderr } = await this.node.reset();
    execFileSync('umount', [this.stateFolder]);
    if (code !== 0) throw new Error(`reset: exit code ${code}:\n${stdout}${stderr}`);
    rmSync(this.node.folder, { recursive: true });
  }
}

/** A record of `dbg history -o json`. */
interface Recorded extends Ended {
  readonly healthy: string | null;
}

export interface Facts {
  readonly pods: readonly string[];
  readonly authorities: readonly string[];
}

/** Where a line does not have the number behind that of the line before it; the first one has number 1. */
function breaksOf(lines: readonly string[]): string[] {
  const numberOf = (line: string): number => Number(/^line (\d+)$/.exec(line)?.[1]);
  return lines.flatMap((line, at) => {
    const before = lines[at - 1] ?? 'line 0';
    return numberOf(line) === numberOf(before) + 1 ? [] : [`"${line}" behind "${before}"`];
  });
}

function mount(...args: readonly string[]): void {
  execFileSync('mount', args);
}

function podNamed(name: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        { name: 'main', image: testImage, imagePullPolicy: 'Never', command: ['sh', '-c', counting] },
      ],
    },
  });
}
