import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { HamletError, errnoOf } from '../lib/errors.js';
import { Broadcast } from '../lib/broadcast.js';
import { replaceFile } from '../lib/files.js';
import { sleep } from '../lib/time.js';
import type { Child, ExitStatus, SpawnRequest } from '../ipc/services/host.js';
import { isAlive, sendSignal, startTicksOf } from '../platform/process.js';
import type { Secrets } from './secrets.js';

/** Where the children's output goes (src/host/pipes.ts). */
export interface Outputs {
  /** Descriptors for a run's stdout and stderr, to be closed when the child has its copies. */
  openOutput(name: string, run: number): { readonly stdout: number; readonly stderr: number; close(): void };
  /** Resolves when all that the ended run wrote has been read. */
  endRun(name: string): Promise<boolean>;
}

export interface ChildrenOptions {
  /** The table's file; it tells the run after this one what may be left over. */
  readonly file: string;
  readonly secrets: Secrets;
  readonly outputs: Outputs;
}

export interface ChildNews {
  readonly children: Child[];
  readonly snapshot: boolean;
}

/** How long what a killed run left behind may take to end by itself, in milliseconds. */
const leftoverPatienceMs = 10_000;
const leftoverPollMs = 25;

/**
 * The table of children: what runs, under which pid, since when, and how the last one ended. The only place that
 * starts a component. Each child leads a process group of its own, so that a signal reaches whatever it starts.
 */
export class Children {
  readonly #options: ChildrenOptions;
  readonly #table = new Map<string, Child>();
  readonly #changes = new Broadcast<Child>();
  readonly #starting = new Set<string>();
  /** Ended runs whose last lines are still being read. */
  readonly #draining = new Map<string, Promise<unknown>>();

  constructor(options: ChildrenOptions) {
    this.#options = options;
  }

  get all(): readonly Child[] {
    return [...this.#table.values()];
  }

  /** The table as it is, as one snapshot, then each start and each end, until the signal is aborted. */
  async *watch(signal: AbortSignal): AsyncGenerator<ChildNews, void, undefined> {
    const changes = this.#changes.subscribe(signal);
    yield { children: [...this.all], snapshot: true };
    for await (const child of changes) yield { children: [child], snapshot: false };
  }

  /**
   * Starts a component. Returns when its program has been executed.
   * Throws ALREADY_EXISTS while one of that name runs, NOT_FOUND or PERMISSION_DENIED when it cannot be executed.
   */
  async spawn(request: SpawnRequest): Promise<Child> {
    const { name, argv, env, cwd, secrets } = request;
    const old = this.#table.get(name);
    if (this.#starting.has(name) || old?.exit === null) {
      throw new HamletError('ALREADY_EXISTS', `${name} runs already, as process ${old?.pid ?? '(starting)'}`);
    }
    this.#starting.add(name);
    try {
      if (secrets.length > 0) await this.#options.secrets.provide(name, secrets);
      await this.#draining.get(name);
      const run = (old?.run ?? 0) + 1;
      const output = this.#options.outputs.openOutput(name, run);
      const [file = '', ...args] = argv;
      let started: ChildProcess;
      try {
        started = spawn(file, args, {
          cwd,
          env,
          detached: true,
          stdio: ['ignore', output.stdout, output.stderr],
        });
        await executed(started, file);
      } finally {
        output.close();
      }
      return this.#record(started, name, run, digestOf(request));
    } catch (error) {
      await this.#options.secrets.remove(name);
      throw error;
    } finally {
      this.#starting.delete(name);
    }
  }

  /** Sends a signal to a component's process group. Throws NOT_FOUND when it does not run. */
  signal(name: string, signal: NodeJS.Signals): void {
    const child = this.#table.get(name);
    if (child?.exit !== null || !sendSignal(-child.pid, signal)) {
      throw new HamletError('NOT_FOUND', `${name} does not run`);
    }
  }

  /**
   * Ends what a run of Hamlet that was killed has left behind, and remembers how often each component was started.
   * Returns the names of what was ended; throws INTERNAL, naming it, for a process that even SIGKILL does not end.
   */
  async endLeftovers(signal: AbortSignal): Promise<readonly string[]> {
    const left = readTable(this.#options.file);
    const alive = left.filter((child) => child.exit === null && isAlive(child.pid, child.startTicks));
    await Promise.all(alive.map((child) => endGroup(child, signal)));
    const exit: ExitStatus = { code: null, signal: 'SIGTERM', atMs: Date.now() };
    for (const child of left) this.#table.set(child.name, { ...child, exit: child.exit ?? exit });
    await this.#options.secrets.removeAll();
    return alive.map((child) => child.name);
  }

  /** Ends everything that runs, in the given order of names; for when nobody else is left to do it. */
  async endAll(order: readonly string[], signal: AbortSignal): Promise<void> {
    for (const name of order) {
      const child = this.#table.get(name);
      if (child?.exit === null) await endGroup(child, signal);
    }
  }

  #record(started: ChildProcess, name: string, run: number, digest: string): Child {
    const pid = started.pid ?? 0;
    // Gone already: its exit is on its way, and nothing will ever match 0.
    const startTicks = startTicksOf(pid) ?? 0;
    const child: Child = { name, pid, startTicks, run, startedAtMs: Date.now(), digest, exit: null };
    this.#set(child);
    started.once('exit', (code, signal) => {
      // What it started and did not end must not keep its ports and files from the next run.
      sendSignal(-pid, 'SIGKILL');
      this.#draining.set(name, this.#options.outputs.endRun(name));
      void this.#options.secrets.remove(name).finally(() => {
        this.#set({ ...child, exit: { code, signal, atMs: Date.now() } });
      });
    });
    return child;
  }

  #set(child: Child): void {
    this.#table.set(child.name, child);
    replaceFile(this.#options.file, JSON.stringify(this.all), 0o600);
    this.#changes.send(child);
  }
}

/** Resolves when the program runs; rejects when it could not be executed. */
async function executed(started: ChildProcess, file: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    started.once('spawn', resolve);
    started.once('error', (cause) => {
      const code = errnoOf(cause) === 'ENOENT' ? 'NOT_FOUND' : 'PERMISSION_DENIED';
      reject(new HamletError(code, `${file} cannot be executed`, { cause }));
    });
  });
}

function digestOf({ argv, env, cwd, secrets }: SpawnRequest): string {
  const hash = createHash('sha256').update(JSON.stringify([argv, env, cwd]));
  for (const { name, data } of secrets) hash.update(`\0${name}\0`).update(data);
  return hash.digest('hex');
}

/** A table that cannot be read is no table: it lies on a file system that is empty after a boot. */
function readTable(file: string): Child[] {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Child[];
  } catch {
    return [];
  }
}

async function endGroup(child: Child, signal: AbortSignal): Promise<void> {
  sendSignal(-child.pid, 'SIGTERM');
  for (let waitedMs = 0; isAlive(child.pid, child.startTicks); waitedMs += leftoverPollMs) {
    if (waitedMs >= 2 * leftoverPatienceMs) {
      throw new HamletError(
        'INTERNAL',
        `${child.name}, left from an earlier run as process ${child.pid}, cannot be ended`,
      );
    }
    if (waitedMs === leftoverPatienceMs) sendSignal(-child.pid, 'SIGKILL');
    await sleep(leftoverPollMs, signal);
  }
  sendSignal(-child.pid, 'SIGKILL');
}
