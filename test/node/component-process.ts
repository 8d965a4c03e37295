import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Test } from 'tap';
import { messageOf } from '../../src/lib/errors.js';
import { deadline, poll } from '../../src/lib/time.js';
import { inspectMachine } from '../../src/platform/machine.js';
import { writeConfiguration, type Component, type Context } from '../../src/workers/kubelet/component.js';
import { makeContext } from '../unit/kubelet/context.js';

export const never = new AbortController().signal;

/** A context of this machine in a folder of its own, which goes with the test. */
export function contextHere(t: Test): Context {
  const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return makeContext({
    settings: {
      paths: { state: path.join(folder, 'state'), run: path.join(folder, 'run') },
      images: { dir: path.join(folder, 'images') },
    },
    machine: inspectMachine('192.0.2.7'),
    components: { pauseImage: { archive: path.join(folder, 'none.tar'), ref: 'hamlet.test/pause:1' } },
  });
}

/** A component that runs by its own policy, without a supervisor: each step is the test's. */
export class ComponentProcess {
  readonly #component: Component;
  #process: ChildProcess | undefined;
  #output = '';

  constructor(t: Test, component: Component) {
    this.#component = component;
    t.teardown(() => this.end('SIGKILL'));
  }

  /** What it has written, for a test that fails. */
  get output(): string {
    return this.#output;
  }

  async start(): Promise<void> {
    await this.#component.prepare(never, (_what, until) => until);
    const command = this.#component.command();
    writeConfiguration(command);
    const { argv, cwd, env, stale = [] } = command;
    for (const left of stale) rmSync(left, { force: true });
    const [file, ...args] = argv;
    const child = spawn(file, args, {
      cwd,
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => (this.#output += chunk));
    }
    this.#process = child;
  }

  /** Makes one probe that may take so long; gives why it failed, or undefined. */
  async probe(timeoutMs = this.#component.probeTimeoutMs): Promise<string | undefined> {
    using limit = deadline(timeoutMs);
    try {
      await this.#component.probe(limit.signal);
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  }

  async healthy(): Promise<void> {
    await poll(
      async (signal) => {
        await this.#component.probe(signal);
        return true;
      },
      { everyMs: 25, timeoutMs: 30_000, what: `${this.#component.name}: a good probe` },
    ).catch((error: unknown) => {
      throw new Error(`it wrote:\n${this.#output}`, { cause: error });
    });
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  /** Stops it where it is, and waits until each of its threads stands still: until then one of them may answer. */
  async suspend(): Promise<void> {
    this.signal('SIGSTOP');
    const tasks = `/proc/${this.#process?.pid}/task`;
    await poll(
      () =>
        readdirSync(tasks).every((id) =>
          /^State:\s*T/m.test(readFileSync(`${tasks}/${id}/status`, 'latin1')),
        ) || undefined,
      { everyMs: 1, timeoutMs: 10_000, what: `${this.#component.name} standing still` },
    );
  }

  /** Sends a signal and waits for the end. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#process = undefined;
    child.kill('SIGCONT');
    child.kill(signal);
    await poll(() => child.exitCode ?? child.signalCode ?? undefined, {
      everyMs: 10,
      timeoutMs: 20_000,
      what: `the end of ${this.#component.name}`,
    });
  }
}
