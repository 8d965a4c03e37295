import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import {
  child as childSchema,
  type Child,
  type ExitStatus,
  type SpawnRequest,
} from '../ipc/services/host.js';
import { Broadcast } from '../lib/broadcast.js';
import { HamletError, messageOf } from '../lib/errors.js';
import { replaceFile } from '../lib/files.js';
import type { Log } from '../lib/log.js';
import { sleep } from '../lib/time.js';
import { isAlive, sendSignal, startTicksOf } from '../platform/process.js';
import { checkProgram, execFailure } from './exec.js';
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
  /** Told of what goes wrong where nobody waits for an answer. */
  readonly log?: Log;
  /** How long leftovers may take to heed SIGTERM, in milliseconds; 10,000 unless given. */
  readonly endPatienceMs?: number;
}

export interface ChildNews {
  readonly children: Child[];
  readonly snapshot: boolean;
}

/** How long a process may take to heed SIGTERM, and then to vanish after SIGKILL, in milliseconds. */
const endPatienceMs = 10_000;
const endPollMs = 25;

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
    using changes = this.#changes.subscribe(signal);
    yield { children: [...this.all], snapshot: true };
    for await (const child of changes) yield { children: [child], snapshot: false };
  }

  /**
   * Starts a component. Returns when its program has been executed.
   * Throws ALREADY_EXISTS while one of that name runs; what exec.ts throws when it cannot be executed.
   */
  async spawn(request: SpawnRequest): Promise<Child> {
    const { name, argv, env, cwd, secrets } = request;
    const old = this.#table.get(name);
    if (this.#starting.has(name) || old?.exit === null) {
      throw new HamletError('ALREADY_EXISTS', `${name} runs already, as process ${old?.pid ?? '(starting)'}`);
    }
    this.#starting.add(name);
    try {
      const [file = '', ...args] = argv;
      checkProgram(file, cwd);
      if (secrets.length > 0) await this.#options.secrets.provide(name, secrets);
      await this.#draining.get(name);
      const run = (old?.run ?? 0) + 1;
      const started = await this.#execute(file, args, { env, cwd, name, run });
      return this.#record(started, name, run, digestOf(request));
    } catch (error) {
      await this.#removeSecrets(name);
      throw error;
    } finally {
      this.#starting.delete(name);
    }
  }

  /** Sends a signal to a component's process group. Throws NOT_FOUND when it does not run. */
  signal(name: string, signal: NodeJS.Signals): void {
    const child = this.#table.get(name);
    if (child?.exit !== null || !signalGroup(child.pid, signal)) {
      throw new HamletError('NOT_FOUND', `${name} does not run`);
    }
  }

  /**
   * Ends what a run of Hamlet that was killed has left behind, and remembers how often each component was started.
   * Returns the names of what was ended; throws INTERNAL, naming it, for what even SIGKILL does not end.
   */
  async endLeftovers(signal: AbortSignal): Promise<readonly string[]> {
    const left = readTable(this.#options.file);
    const alive = left.filter((child) => child.exit === null && isAlive(child.pid, child.startTicks));
    const ends = await Promise.allSettled(alive.map((child) => this.#end(child, signal)));
    throwFailures(ends);
    const exit: ExitStatus = { code: null, signal: 'SIGTERM', atMs: Date.now() };
    for (const child of left) this.#table.set(child.name, { ...child, exit: child.exit ?? exit });
    await this.#options.secrets.removeAll();
    return alive.map((child) => child.name);
  }

  /**
   * Ends everything that runs, in the given order of names; for when nobody else is left to do it.
   * Throws INTERNAL at the end, naming it, for what even SIGKILL does not end.
   */
  async endAll(order: readonly string[], signal: AbortSignal): Promise<void> {
    const ends: PromiseSettledResult<void>[] = [];
    for (const name of order) {
      const child = this.#table.get(name);
      if (child?.exit === null) ends.push(...(await Promise.allSettled([this.#end(child, signal)])));
    }
    throwFailures(ends);
  }

  async #execute(
    file: string,
    args: readonly string[],
    { env, cwd, name, run }: Pick<SpawnRequest, 'env' | 'cwd' | 'name'> & { readonly run: number },
  ): Promise<ChildProcess> {
    const output = this.#options.outputs.openOutput(name, run);
    try {
      const { stdout, stderr } = output;
      const started = spawn(file, args, { cwd, env, detached: true, stdio: ['ignore', stdout, stderr] });
      await new Promise((resolve, reject) => started.once('spawn', resolve).on('error', reject));
      return started;
    } catch (error) {
      throw execFailure(file, error);
    } finally {
      output.close();
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
      void this.#removeSecrets(name).then(() => {
        this.#set({ ...child, exit: { code, signal, atMs: Date.now() } });
      });
    });
    return child;
  }

  #set(child: Child): void {
    this.#table.set(child.name, child);
    this.#changes.send(child);
    try {
      replaceFile(this.#options.file, JSON.stringify(this.all), 0o600);
    } catch (error) {
      // A full disk is no reason to end what runs; the next change writes the whole table again.
      this.#options.log?.error({ err: error }, `the table of children was not written: ${messageOf(error)}`);
    }
  }

  async #end({ name, pid, startTicks }: Child, signal: AbortSignal): Promise<void> {
    const { endPatienceMs: patienceMs = endPatienceMs } = this.#options;
    const hasEnded = async (): Promise<boolean> => {
      const deadlineMs = performance.now() + patienceMs;
      while (isAlive(pid, startTicks)) {
        if (performance.now() >= deadlineMs) return false;
        await sleep(endPollMs, signal);
      }
      return true;
    };
    signalGroup(pid, 'SIGTERM');
    const heeded = await hasEnded();
    // What it started and did not end goes in any case.
    sendSignal(-pid, 'SIGKILL');
    if (heeded || (await hasEnded())) return;
    throw new HamletError('INTERNAL', `${name} (process ${pid}) is there even after SIGKILL`);
  }

  /** Secrets that cannot be taken away are told of; the end of their component, or a new start, has to go on. */
  async #removeSecrets(name: string): Promise<void> {
    try {
      await this.#options.secrets.remove(name);
    } catch (error) {
      this.#options.log?.error({ err: error }, `the secrets of ${name} are still there: ${messageOf(error)}`);
    }
  }
}

function digestOf({ argv, env, cwd, secrets }: SpawnRequest): string {
  const hash = createHash('sha256').update(JSON.stringify([argv, env, cwd]));
  for (const { name, data } of secrets) hash.update(`\0${name}\0`).update(data);
  return hash.digest('hex');
}

/**
 * The table as a run of Hamlet left it. One that cannot be read is no table: it lies on a file system that is empty
 * after a boot.
 */
export function readTable(file: string): Child[] {
  try {
    return v.parse(v.array(childSchema), JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return [];
  }
}

/** As sendSignal(); SIGTERM is followed by SIGCONT, without which a stopped process would not notice it. */
function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
  const received = sendSignal(-pid, signal);
  if (signal === 'SIGTERM') sendSignal(-pid, 'SIGCONT');
  return received;
}

function throwFailures(results: readonly PromiseSettledResult<void>[]): void {
  const reasons = results.flatMap((result): unknown[] =>
    result.status === 'rejected' ? [result.reason] : [],
  );
  if (reasons.length === 1) throw reasons[0];
  if (reasons.length > 1) throw new HamletError('INTERNAL', reasons.map(messageOf).join('; '));
}
