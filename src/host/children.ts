import type { ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import type { Child, ExitStatus, SpawnRequest } from '../ipc/services/host.js';
import { Broadcast } from '../lib/broadcast.js';
import { HamletError, messageOf } from '../lib/errors.js';
import { isAlive, sendSignal, startTicksOf } from '../platform/process.js';
import { stopPatienceMs } from '../platform/stop-patience.js';
import { AdoptedChildren } from './adopted-children.js';
import type { ChildNews, ChildrenOptions, Takeover } from './children-options.js';
import { readTable, writeTable } from './children-table.js';
import { checkProgram } from './exec.js';
import { hasEnded, Launcher } from './launcher.js';
import { endOrphans, findStrays, sortLeftovers } from './leftovers.js';
import { OomEnds } from './oom-ends.js';
import { endGroup, endGroups, signalGroup, throwFailures } from './process-group.js';
import { StandingStarts, type Standing } from './standing-starts.js';

/** What a start has beside its request. */
interface Launch {
  /** The changes to be told before it. */
  readonly before: () => Child[];
  /** Makes ready what it needs. */
  readonly provide: () => Promise<void>;
  /** Until when what comes out of its pipes is the last run's; it is over unless given. */
  readonly drained?: Promise<unknown> | undefined;
}

/**
 * The table of children: what runs, under which pid, since when, and how the last one ended. The only place that
 * starts a component. Each child leads a process group of its own, so that a signal reaches whatever it starts.
 */
export class Children {
  readonly #options: ChildrenOptions;
  readonly #endPatienceMs: (name: string) => number;
  readonly #table = new Map<string, Child>();
  readonly #changes = new Broadcast<readonly Child[]>();
  readonly #launcher: Launcher;
  readonly #standing = new StandingStarts();
  readonly #oomEnds: OomEnds;
  readonly #starting = new Set<string>();
  /** Ended runs whose last lines are still being read. */
  readonly #draining = new Map<string, Promise<unknown>>();
  readonly #adopted = new AdoptedChildren();
  /** Starts and ends that are being dealt with. */
  readonly #underWay = new Set<Promise<unknown>>();
  #released = false;
  /** Whether everything is ended because the node stops: what has ended then will not be started again. */
  #ending = false;

  constructor(options: ChildrenOptions) {
    const { outputs, standbyDelayMs } = options;
    this.#options = options;
    this.#launcher = new Launcher((name, run) => outputs.openOutput(name, run), standbyDelayMs);
    this.#oomEnds = new OomEnds(options.wasOomKilled);
    this.#endPatienceMs = options.endPatienceMs ?? stopPatienceMs;
  }

  get all(): readonly Child[] {
    return [...this.#table.values()];
  }

  /**
   * The table as it is, as one snapshot, then each start and each end, until the signal is aborted: an end with the start
   * that had been asked for in advance is one change.
   */
  async *watch(signal: AbortSignal): AsyncGenerator<ChildNews, void, undefined> {
    using changes = this.#changes.subscribe(signal);
    yield { children: [...this.all], snapshot: true };
    for await (const children of changes) yield { children: [...children], snapshot: false };
  }

  /**
   * Starts a component. Returns when its program has been executed.
   * Throws ALREADY_EXISTS while one of that name runs; what exec.ts throws when it cannot be executed.
   */
  spawn(request: SpawnRequest): Promise<Child> {
    return this.#track(this.#spawn(request));
  }

  /**
   * Holds a start in advance until the component ends, is told to end, or the signal is aborted; then it resolves.
   * Throws NOT_FOUND when the component does not run, FAILED_PRECONDITION when it was started with another digest.
   */
  async standingStart(request: SpawnRequest, signal: AbortSignal): Promise<void> {
    const child = this.#running(request.name);
    if (child.digest !== request.digest) {
      throw new HamletError('FAILED_PRECONDITION', `${child.name} was started with other settings`);
    }
    await this.#standing.hold(request, signal);
  }

  async #spawn(request: SpawnRequest): Promise<Child> {
    const { name, secrets } = request;
    const old = this.#table.get(name);
    if (this.#starting.has(name) || old?.exit === null) {
      throw new HamletError('ALREADY_EXISTS', `${name} runs already, as process ${old?.pid ?? '(starting)'}`);
    }
    const provide = async () => {
      if (secrets.length > 0) await this.#options.secrets.provide(name, secrets);
      await this.#draining.get(name);
    };
    return this.#launch(request, { before: () => [], provide });
  }

  /**
   * Makes the start that was asked for in advance, now that the child has ended. How it ended is looked up meanwhile, and
   * its last lines are read meanwhile: what comes until they are counts as its own, because no program that is started
   * so says anything within the first milliseconds (etcd 10, containerd 20).
   */
  async #restart({ request, over }: Standing, ended: () => Child): Promise<void> {
    const drained = this.#draining.get(request.name);
    try {
      await this.#launch(request, { before: () => [ended()], provide: async () => {}, drained });
    } catch {
      // Whoever hears of the end starts it in the ordinary way, and is told then why that cannot be.
      this.#set([ended()]);
    } finally {
      over();
    }
  }

  /** Executes a component when it has been provided for, and tells of it together with the changes before it. */
  async #launch(request: SpawnRequest, { before, provide, drained }: Launch): Promise<Child> {
    const { name, argv, cwd, stale } = request;
    const { outputs } = this.#options;
    this.#starting.add(name);
    try {
      checkProgram(argv[0] ?? '', cwd);
      await provide();
      if (this.#ending)
        throw new HamletError('UNAVAILABLE', `the node stops; ${name} is not started any more`);
      for (const file of stale) rmSync(file, { force: true });
      // The table is gone after a reboot, the count is not.
      const run = Math.max(this.#table.get(name)?.run ?? 0, outputs.lastRun(name)) + 1;
      outputs.adopt(name, run, drained);
      const child = this.#record(await this.#launcher.start(request, run), request, run, before());
      this.#launcher.prepare(request, run + 1);
      return child;
    } catch (error) {
      await this.#removeSecrets(name);
      throw error;
    } finally {
      this.#starting.delete(name);
    }
  }

  /** Sends a signal to a component's process group. Throws NOT_FOUND when it does not run. */
  signal(name: string, signal: NodeJS.Signals): void {
    const { pid } = this.#running(name);
    this.#standing.cancel(name);
    if (!signalGroup(pid, signal)) throw notRunning(name);
  }

  /**
   * Takes up what an earlier run of Hamlet has left: goes on with the components that run as its record says and still
   * have their pipes, and ends the rest. `wasKilled` says that the record may lack the last start.
   * Throws INTERNAL, naming it, for what even SIGKILL does not end.
   */
  async takeOver(wasKilled: boolean, signal: AbortSignal): Promise<Takeover> {
    const { file, outputs, secrets } = this.#options;
    const table = readTable(file);
    const { sound, unsound, gone } = sortLeftovers(table, (name, pid) => outputs.isOutputOf(name, pid));
    const known = new Set([...sound, ...unsound].map(({ pid }) => pid));
    const bad = [...unsound, ...(wasKilled ? findStrays(outputs.stdouts, known) : [])];
    // What is still in the pipes is theirs.
    for (const { name, run } of table) outputs.adopt(name, run);
    await endGroups(bad, this.#endPatienceMs, signal);
    const orphaned = await endOrphans(gone, outputs.stdouts, signal);
    for (const child of table) {
      const exit = child.exit ?? lostExit(gone.includes(child) && this.#oomEnds.wasAmong(child));
      this.#table.set(child.name, sound.includes(child) ? child : { ...child, exit });
    }
    for (const { name } of [...bad, ...gone]) this.#draining.set(name, outputs.endRun(name));
    await secrets.adopt(sound.map(({ name }) => name));
    // Only a parent is told how its child ended.
    for (const child of sound) this.#adopted.watch(child, () => this.#ended(child, null, null));
    if (table.length > 0) this.#write();
    const ended = [...new Set([...bad.map(({ name }) => name), ...orphaned])];
    return {
      adopted: sound.map(({ name }) => name),
      ended,
      gone: gone.map((child) => this.#table.get(child.name) ?? child),
    };
  }

  /** Ends whatever an earlier run has left. Throws as takeOver() does. */
  async endLeftovers(signal: AbortSignal): Promise<void> {
    const { file, outputs, secrets } = this.#options;
    const running = readTable(file).filter(
      ({ exit, pid, startTicks }) => exit === null && isAlive(pid, startTicks),
    );
    const strays = findStrays(outputs.stdouts, new Set(running.map(({ pid }) => pid)));
    await endGroups([...running, ...strays], this.#endPatienceMs, signal);
    await secrets.adopt([]);
  }

  /**
   * Leaves everything that runs to another run of Hamlet, once what is under way is on record: from then on the ends
   * of the children are not this run's business.
   */
  async release(): Promise<void> {
    this.#standing.close();
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
    this.#released = true;
    this.#launcher.close();
    this.#adopted.close();
  }

  /**
   * Ends everything that still runs, in the given order of names, when nobody is left to start anything again. From then
   * on the table's file has nothing of what has ended: the next run of Hamlet would take it for a failure.
   * Gives the names of what did not heed SIGTERM. Throws INTERNAL at the end, naming it, for what even SIGKILL does not
   * end.
   */
  async endAll(order: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    this.#ending = true;
    this.#standing.close();
    this.#launcher.close();
    this.#write();
    const killed: string[] = [];
    const ends: PromiseSettledResult<unknown>[] = [];
    for (const name of order) {
      const child = this.#table.get(name);
      if (child?.exit !== null) continue;
      const end = endGroup(child, this.#endPatienceMs(name), signal);
      ends.push(...(await Promise.allSettled([end.then((heeded) => heeded || killed.push(name))])));
    }
    throwFailures(ends);
    return killed;
  }

  #running(name: string): Child {
    const child = this.#table.get(name);
    if (child?.exit !== null) throw notRunning(name);
    return child;
  }

  #record(started: ChildProcess, { name, digest }: SpawnRequest, run: number, before: Child[]): Child {
    const pid = started.pid ?? 0;
    // Gone already: its exit is on its way, and nothing will ever match 0.
    let startTicks: number;
    try {
      startTicks = startTicksOf(pid) ?? 0;
    } catch (cause) {
      // What is not on record must not run.
      sendSignal(-pid, 'SIGKILL');
      throw new HamletError('RESOURCE_EXHAUSTED', `${name} cannot be put on record`, { cause });
    }
    const child: Child = { name, pid, startTicks, run, startedAtMs: Date.now(), digest, exit: null };
    this.#set([...before, child]);
    if (hasEnded(started)) this.#ended(child, started.exitCode, started.signalCode);
    else started.once('exit', (code, signal) => this.#ended(child, code, signal));
    return child;
  }

  #ended(child: Child, code: number | null, signal: string | null): void {
    if (this.#released) return;
    const { name, pid } = child;
    // What it started and did not end must not keep its ports and files from the next run.
    sendSignal(-pid, 'SIGKILL');
    this.#launcher.ended(name);
    this.#draining.set(name, this.#options.outputs.endRun(name));
    const atMs = Date.now();
    let dead: Child | undefined;
    const end = () =>
      (dead ??= {
        ...child,
        exit: { code, signal, outOfMemory: this.#oomEnds.isAmong(child, code, signal), atMs },
      });
    const standing = this.#standing.take(name);
    const done =
      standing === undefined
        ? this.#removeSecrets(name).then(() => this.#set([end()]))
        : this.#restart(standing, end);
    void this.#track(done);
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    const done = () => this.#underWay.delete(work);
    work.then(done, done);
    return work;
  }

  #set(changes: readonly Child[]): void {
    for (const child of changes) this.#table.set(child.name, child);
    this.#changes.send(changes);
    // What has ended is soon started again, and that is written at once. Until then the file has one that runs no more.
    if (changes.some(({ exit }) => exit === null)) this.#write();
    else setImmediate(() => this.#write());
  }

  #write(): void {
    if (this.#released) return;
    try {
      writeTable(this.#options.file, this.#ending ? this.all.filter(({ exit }) => exit === null) : this.all);
    } catch (error) {
      // A full disk is no reason to end what runs; the next change writes the whole table again.
      this.#options.log?.error({ err: error }, `the table of children was not written: ${messageOf(error)}`);
    }
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

function notRunning(name: string): HamletError {
  return new HamletError('NOT_FOUND', `${name} does not run`);
}

/** Only a parent is told how its child ended. */
function lostExit(outOfMemory: boolean): ExitStatus {
  return { code: null, signal: null, outOfMemory, atMs: Date.now() };
}
