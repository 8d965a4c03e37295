import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { readTable } from '../../../src/host/children-table.js';
import type { Child } from '../../../src/ipc/services/host.js';
import { poll } from '../../../src/lib/time.js';
import { runPaths } from '../../../src/platform/paths.js';

/** What people run: scripts/bundle.mjs has made it of dist/src. */
const main = fileURLToPath(new URL('../../../bundle/main.js', import.meta.url));
const dbg = fileURLToPath(new URL('../../../bundle/cli/main.js', import.meta.url));

/** Hamlet for a test that needs other lifetimes or clocks; see there. */
export const timedNode = fileURLToPath(new URL('../fixtures/timed-node.js', import.meta.url));

/** Long enough for the slowest start seen on a loaded machine with two cores, many times over. */
const readyTimeoutMs = 120_000;
const stopTimeoutMs = 60_000;

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a program to its end and keeps what it wrote. */
export async function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<Result> {
  const child = spawn(file, args, { env: options.env ?? process.env, stdio: 'pipe' });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  child.stdin.on('error', () => undefined).end(options.input ?? '');
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, stdout, stderr };
}

const portNames = [
  'debug',
  'apiserver',
  'kubelet',
  'kubeletHealth',
  'controllerManager',
  'scheduler',
  'proxyHealth',
  'proxyMetrics',
] as const;

/** A real node in a folder and on ports of its own. Hamlet is one process, started and stopped as init would. */
export class TestNode {
  readonly folder: string;
  /** Where it has its run-time folder, and what lies where in it. */
  readonly runDir: string;
  readonly run: ReturnType<typeof runPaths>;
  readonly imagesDir: string;
  readonly config: string;
  readonly endpoint: string;
  readonly ports: Readonly<Record<(typeof portNames)[number], number>>;
  #process: ChildProcess | undefined;
  #output = '';

  private constructor(folder: string, ports: TestNode['ports'], settings: object) {
    this.folder = folder;
    this.ports = ports;
    this.runDir = path.join(folder, 'run');
    this.run = runPaths(this.runDir);
    this.imagesDir = path.join(folder, 'images');
    this.config = path.join(folder, 'config.yaml');
    this.endpoint = `127.0.0.1:${ports.debug}`;
    mkdirSync(this.imagesDir);
    // JSON is YAML.
    const file = {
      paths: { state: path.join(folder, 'state'), run: this.runDir },
      ports,
      images: { dir: this.imagesDir },
      ...settings,
    };
    writeFileSync(this.config, JSON.stringify(file));
  }

  /** Makes folder and configuration; nothing runs yet. `settings` are added to the configuration. */
  static async create(settings: object = {}): Promise<TestNode> {
    const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-'));
    const free = await freePorts(portNames.length);
    const ports = Object.fromEntries(
      portNames.map((name, index) => [name, free[index]]),
    ) as TestNode['ports'];
    return new TestNode(folder, ports, settings);
  }

  /** What Hamlet has printed since its last start. */
  get output(): string {
    return this.#output;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** The components that are on record as running. */
  get components(): Child[] {
    return readTable(this.run.children).filter(({ exit }) => exit === null);
  }

  /** How Hamlet has ended by itself, in words; undefined while it runs. */
  get end(): string | undefined {
    const { exitCode = null, signalCode = null } = this.#process ?? {};
    if (signalCode !== null) return `killed by ${signalCode}`;
    return exitCode === null ? undefined : `with exit code ${exitCode}`;
  }

  /** Starts Hamlet, or a program that takes its arguments, with some more environment. Returns at once; see `ready`. */
  start(env: NodeJS.ProcessEnv = {}, program = main): void {
    this.#output = '';
    const child = spawn(process.execPath, [program, 'run', '--config', this.config], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => (this.#output += chunk));
    }
  }

  /** Reads nothing more of what Hamlet prints, as `head` does when it has seen enough. */
  closeOutput(): void {
    this.#process?.stdout?.destroy();
    this.#process?.stderr?.destroy();
  }

  /** Waits until the node is Ready and its built-in objects are in place. Gives the milliseconds since the call. */
  async ready(): Promise<number> {
    const startedMs = performance.now();
    await this.waitForOutput(/The node is ready/, readyTimeoutMs);
    return performance.now() - startedMs;
  }

  /** Waits until Hamlet has printed something; fails with what it printed instead. */
  async waitForOutput(pattern: RegExp, timeoutMs: number): Promise<void> {
    const child = this.#process;
    try {
      await poll(
        () => {
          if (child?.exitCode != null || child?.signalCode != null) return 'ended';
          return pattern.test(this.#output) ? 'seen' : undefined;
        },
        { everyMs: 20, timeoutMs, what: `${String(pattern)} in Hamlet's output` },
      );
    } catch (error) {
      throw new Error(`it printed:\n${this.#output}`, { cause: error });
    }
    if (!pattern.test(this.#output)) throw new Error(`Hamlet ended; it printed:\n${this.#output}`);
  }

  /** Sends a signal to Hamlet and waits for its end. Gives its exit code, or null for one that a signal ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#process;
    if (child === undefined) return 0;
    this.#process = undefined;
    child.kill(signal);
    await poll(() => child.exitCode ?? child.signalCode ?? undefined, {
      everyMs: 20,
      timeoutMs: stopTimeoutMs,
      what: `the end of Hamlet after ${signal}`,
    });
    return child.exitCode;
  }

  /** What runs `dbg` against this node: a program and its arguments. */
  command(args: readonly string[]): [string, string[]] {
    return [process.execPath, [dbg, '--endpoint', this.endpoint, ...args]];
  }

  /** Runs `dbg` against this node. */
  dbg(args: readonly string[], options: RunOptions = {}): Promise<Result> {
    return run(...this.command(args), options);
  }

  /** Runs `dbg kubectl` and gives its output; throws with its messages when it fails. */
  async kubectl(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.dbg(['kubectl', ...args], options);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: exit code ${code}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Waits until a pod is in a phase. */
  async waitForPod(name: string, phase = 'Running'): Promise<void> {
    let seen = '';
    await poll(
      async () => {
        seen = await this.kubectl(['get', 'pod', name, '-o', 'jsonpath={.status.phase}']);
        return seen === phase ? true : undefined;
      },
      { everyMs: 100, timeoutMs: 60_000, what: `pod ${name} ${phase}` },
    ).catch(async (error: unknown) => {
      const { stdout } = await this.dbg(['kubectl', 'describe', 'pod', name]);
      throw new Error(`pod ${name} is ${seen}, not ${phase}:\n${stdout}`, { cause: error });
    });
  }

  /** Runs a command of Hamlet with this node's configuration. */
  hamlet(args: readonly string[]): Promise<Result> {
    return run(process.execPath, [main, ...args, '--config', this.config]);
  }

  reset(): Promise<Result> {
    return this.hamlet(['reset', '--yes']);
  }

  /** Leaves nothing behind, whatever state the test has left the node in. */
  async remove(): Promise<void> {
    await this.stop('SIGTERM');
    const { code, stdout, stderr } = await this.reset();
    if (code !== 0) throw new Error(`reset: exit code ${code}:\n${stdout}${stderr}`);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Ports that nobody listens on; held open until all are found, so that they differ. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
