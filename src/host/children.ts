import type { ChildProcess } from 'node:child_process';
import type { Child, ExitStatus, SpawnRequest } from '../ipc/services/host.js';
import { HamletError, messageOf } from '../lib/errors.js';
import { removeFile } from '../lib/files.js';
import { isAlive, sendSignal, startTicksOf } from '../platform/process.js';
import { stopPatienceMs } from '../platform/stop-patience.js';
import { AdoptedChildren } from './adopted-children.js';
import { ChildRecords } from './child-records.js';
import type { ChildNews, ChildrenOptions, Takeover } from './children-options.js';
import { readTable } from './children-table.js';
import { checkProgram } from './exec.js';
import { hasEnded, Launcher } from './launcher.js';
import { endOrphans, findStrays, sortLeftovers } from './leftovers.js';
import { OomEnds } from './oom-ends.js';
import { endGroup, endGroups, signalGroup, throwFailures } from './process-group.js';
import { StandingStarts, type Standing } from './standing-starts.js';

/** A start that was asked for in advance, on its way. */
interface Next {
  readonly run: number;
  readonly process: Promise<ChildProcess>;
}

/**
 * The table of children: what runs, under which pid, since when, and how the last one ended. The only place that
 * starts a component. Each child leads a process group of its own, so that a signal reaches whatever it starts.
 */
export class Children {
  readonly #options: ChildrenOptions;
  readonly #endPatienceMs: (name: string) => number;
  readonly #records: ChildRecords;
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
    this.#records = new ChildRecords(options.file, options.log);
    this.#launcher = new Launcher((name, run) => outputs.openOutput(name, run), standbyDelayMs);
    this.#oomEnds = new OomEnds(options.wasOomKilled);
    this.#endPatienceMs = options.endPatienceMs ?? stopPatienceMs;
  }

  get all(): readonly Child[] {
    return this.#records.all;
  }

  /**
   * The table as it is, as one snapshot, then each start and each end, until the signal is aborted: an end with the start
   * that had been asked for in advance is one change.
   */
  watch(signal: AbortSignal): AsyncGenerator<ChildNews, void, undefined> {
    return this.#records.watch(signal);
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
    const old = this.#records.get(name);
    if (this.#starting.has(name) || old?.exit === null) {
      throw new HamletError('ALREADY_EXISTS', `${name} runs already, as process ${old?.pid ?? '(starting)'}`);
    }
    this.#starting.add(name);
    try {
      checkProgram(request.argv[0] ?? '', request.cwd);
      if (secrets.length > 0) await this.#options.secrets.provide(name, secrets);
      await this.#draining.get(name);
      if (this.#ending)
        throw new HamletError('UNAVAILABLE', `the node stops; ${name} is not started any more`);
      const run = this.#nextRun(name);
      this.#options.outputs.adopt(name, run);
      return this.#record(await this.#execute(request, run), request, run, []);
    } catch (error) {
      await this.#removeSecrets(name);
      throw error;
    } finally {
      this.#starting.delete(name);
    }
  }

  /** Executes a component that has been provided for. */
  #execute(request: SpawnRequest, run: number): Promise<ChildProcess> {
    for (const file of request.stale) removeFile(file);
    return this.#launcher.start(request, run);
  }

  /** The table is gone after a reboot, the count is not. */
  #nextRun(name: string): number {
    return Math.max(this.#records.get(name)?.run ?? 0, this.#options.outputs.lastRun(name)) + 1;
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
    const now = table.map((child) => {
      const exit = child.exit ?? lostExit(gone.includes(child) && this.#oomEnds.wasAmong(child));
      return sound.includes(child) ? child : { ...child, exit };
    });
    this.#records.takeUp(now);
    for (const { name } of [...bad, ...gone]) this.#draining.set(name, outputs.endRun(name));
    await secrets.adopt(sound.map(({ name }) => name));
    // Only a parent is told how its child ended.
    for (const child of sound) this.#adopted.watch(child, () => this.#ended(child, null, null));
    const ended = [...new Set([...bad.map(({ name }) => name), ...orphaned])];
    return {
      adopted: sound.map(({ name }) => name),
      ended,
      gone: gone.map((child) => this.#records.get(child.name) ?? child),
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
    this.#records.release();
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
    this.#records.forgetEnds();
    const killed: string[] = [];
    const ends: PromiseSettledResult<unknown>[] = [];
    for (const name of order) {
      const child = this.#records.get(name);
      if (child?.exit !== null) continue;
      const end = endGroup(child, this.#endPatienceMs(name), signal);
      ends.push(...(await Promise.allSettled([end.then((heeded) => heeded || killed.push(name))])));
    }
    throwFailures(ends);
    return killed;
  }

  #running(name: string): Child {
    const child = this.#records.get(name);
    if (child?.exit !== null) throw notRunning(name);
    return child;
  }

  #record(started: ChildProcess, request: SpawnRequest, run: number, before: Child[]): Child {
    const { name, digest } = request;
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
    this.#records.set([...before, child]);
    if (hasEnded(started)) this.#ended(child, started.exitCode, started.signalCode);
    else {
      started.once('exit', (code, signal) => this.#ended(child, code, signal));
      this.#launcher.prepare(request, run + 1);
    }
    return child;
  }

  #ended(child: Child, code: number | null, signal: string | null): void {
    if (this.#released) return;
    const { name, pid } = child;
    // What it started and did not end must not keep its ports and files from the next run.
    sendSignal(-pid, 'SIGKILL');
    const standing = this.#standing.take(name);
    // Before all else that is to be done now.
    const next = standing === undefined ? undefined : this.#startAgain(standing.request);
    const drained = this.#options.outputs.endRun(name);
    this.#draining.set(name, drained);
    const atMs = Date.now();
    let dead: Child | undefined;
    const end = () =>
      (dead ??= {
        ...child,
        exit: { code, signal, outOfMemory: this.#oomEnds.isAmong(child, code, signal), atMs },
      });
    if (standing === undefined || next === undefined) {
      this.#launcher.ended(name);
      void this.#track(this.#removeSecrets(name).then(() => this.#records.set([end()])));
      return;
    }
    // What comes until all is read counts as the ended run's, because no program that is started so says anything within
    // its first milliseconds (etcd 10, containerd 20).
    this.#options.outputs.adopt(name, next.run, drained);
    void this.#track(this.#haveStarted(standing, next, end));
  }

  /** Makes a start that was asked for in advance; what it needs is there. */
  #startAgain(request: SpawnRequest): Next {
    const run = this.#nextRun(request.name);
    this.#starting.add(request.name);
    const execute = async () => {
      if (!this.#launcher.isReady(request)) checkProgram(request.argv[0] ?? '', request.cwd);
      return this.#execute(request, run);
    };
    return { run, process: execute() };
  }

  /** Tells of the end and of the start that was made at that moment. */
  async #haveStarted({ request, over }: Standing, { run, process }: Next, end: () => Child): Promise<void> {
    try {
      const started = await process;
      // How it ended is looked up when the next one is on its way.
      this.#record(started, request, run, [end()]);
    } catch {
      // Whoever hears of the end starts it in the ordinary way, and is told then why that cannot be.
      this.#launcher.ended(request.name);
      this.#records.set([end()]);
    } finally {
      this.#starting.delete(request.name);
      over();
    }
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    const done = () => this.#underWay.delete(work);
    work.then(done, done);
    return work;
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
