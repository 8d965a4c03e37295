import { chmodSync, closeSync, constants, openSync } from 'node:fs';
import path from 'node:path';
import type { Logger } from 'pino';
import { HamletError } from '../lib/errors.js';
import { ensureFolder } from '../lib/files.js';
import { createLog } from '../lib/log.js';
import { componentNames, logNames } from '../lib/names.js';
import {
  createPipeMemory,
  createRingMemory,
  defaultRingLimits,
  pipeWord,
  ringViews,
  ringWord,
  sequencesPerStart,
  startOf,
  type LogMemory,
  type PipeMemory,
  type RingLimits,
  type RingMemory,
  type SegmentSettings,
} from '../lib/ring/memory.js';
import { lastLinesOf } from './last-lines.js';
import type { Output } from './launcher.js';
import { isSameFile } from './leftovers.js';
import { makePipes } from './named-pipes.js';
import { RunCounts } from './run-counts.js';
import { countStart, noteStart } from './starts.js';

/** How often it is looked whether a log comes near the numbers of the next start: half of a start's last far longer. */
const numbersCheckMs = 60_000;

/** Longer than the logs worker needs to come back after a crash. */
const drainTimeoutMs = 2_000;

export interface PipesOptions {
  /** The folder of the pipes; made with mode 0700. */
  readonly dir: string;
  /** Counts the starts of Hamlet; has to outlive the machine's, so that no line's number ever comes again. */
  readonly startsFile: string;
  /** Counts the runs of what has a log, beside the former. */
  readonly runsFile: string;
  /** Names of what has a stdout and a stderr, two pipes each: the components. */
  readonly components?: readonly string[];
  /** Names of what writes a log by itself, one pipe each: Hamlet's threads. */
  readonly own?: readonly string[];
  readonly limits?: RingLimits;
  /** Where the logs worker keeps lines beyond the memory; nowhere unless given. */
  readonly segments?: SegmentSettings;
}

interface Pipe {
  readonly name: string;
  readonly source: 'stdout' | 'stderr';
  readonly path: string;
  readonly outlives: boolean;
  /** Open for reading and writing as long as Hamlet lives, so that no writer ever gets SIGPIPE. */
  readonly fd: number;
  readonly memory: PipeMemory;
  readonly words: Int32Array;
}

/**
 * The components' output pipes and the memory of their logs. Both belong to the main thread, so that the death of the
 * logs worker costs no component its output and nobody a line.
 *
 * stdout and stderr have a pipe each: the order within either is exact, and a line says which one it came from. The
 * order between the two is the one in which they are read. That costs nothing here, as Kubernetes' components, etcd
 * and containerd all log to stderr alone.
 */
export class Pipes {
  /** What went wrong with the count of starts, if anything did. */
  readonly startProblem: string | undefined;
  readonly #dir: string;
  readonly #pipes: readonly Pipe[];
  readonly #rings: readonly { readonly name: string; readonly memory: RingMemory }[];
  readonly #segments: SegmentSettings | undefined;
  readonly #runs: RunCounts;
  readonly #wake = new SharedArrayBuffer(4);
  readonly #startsFile: string;
  readonly #numbersTimer: NodeJS.Timeout;
  /** What the file of the starts says. */
  #start: number;

  private constructor(
    { dir, segments, runsFile, startsFile }: PipesOptions,
    start: number,
    pipes: readonly Pipe[],
    rings: readonly { name: string; memory: RingMemory }[],
    startProblem: string | undefined,
  ) {
    this.startProblem = startProblem;
    this.#dir = dir;
    this.#pipes = pipes;
    this.#rings = rings;
    this.#segments = segments;
    this.#runs = new RunCounts(runsFile);
    this.#startsFile = startsFile;
    this.#start = start;
    this.#numbersTimer = setInterval(() => this.reserveNumbers(), numbersCheckMs).unref();
  }

  /**
   * Makes the pipes, or takes those that are there with what a running component has put into them.
   * Throws INTERNAL when that fails.
   */
  static async open(options: PipesOptions): Promise<Pipes> {
    const { dir, limits = defaultRingLimits, components = componentNames } = options;
    const own = options.own ?? logNames.filter((name) => !components.includes(name));
    const wanted = [
      ...components.flatMap((name) => [
        { name, source: 'stdout' as const, path: path.join(dir, `${name}.stdout`), outlives: true },
        { name, source: 'stderr' as const, path: path.join(dir, `${name}.stderr`), outlives: true },
      ]),
      ...own.map((name) => ({
        name,
        source: 'stdout' as const,
        path: path.join(dir, name),
        outlives: false,
      })),
    ];
    chmodSync(ensureFolder(dir, 0o700), 0o700);
    await makePipes(wanted.map((pipe) => pipe.path));
    const { number, problem } = countStart({
      file: options.startsFile,
      note: path.join(dir, 'starts'),
      segments: options.segments?.dir,
    });
    const pipes = wanted.map((pipe) => {
      const memory = createPipeMemory(limits);
      const fd = openSync(pipe.path, constants.O_RDWR | constants.O_NONBLOCK);
      const words = new Int32Array(memory.words);
      return { ...pipe, fd, memory, words };
    });
    const rings = [...components, ...own].map((name) => ({
      name,
      memory: createRingMemory(limits, number * sequencesPerStart),
    }));
    return new Pipes(options, number, pipes, rings, problem);
  }

  /** What the logs worker is to be started with. */
  workerData(): LogMemory {
    const pipes = this.#pipes.map(({ name, source, path, outlives, memory }) => {
      return { name, source, path, outlives, memory };
    });
    return {
      rings: this.#rings,
      pipes,
      wake: this.#wake,
      ...(this.#segments !== undefined && { segments: { ...this.#segments, leftDir: this.#dir } }),
    };
  }

  /**
   * Descriptors for the stdout and stderr of a component's next run. They block, and they are open for reading too, so
   * that a child outlives Hamlet: its writes wait, they do not fail.
   * Throws NOT_FOUND for a name without two pipes.
   */
  openOutput(name: string): Output {
    const [stdout, stderr] = this.#pipesOf(name);
    if (stdout === undefined || stderr === undefined) {
      throw new HamletError('NOT_FOUND', `${name} has no output pipes`);
    }
    const fds: number[] = [];
    const close = () => fds.splice(0).forEach(closeSync);
    const open = (pipe: Pipe): number => {
      const fd = openSync(pipe.path, constants.O_RDWR);
      fds.push(fd);
      return fd;
    };
    try {
      return { stdout: open(stdout), stderr: open(stderr), close };
    } catch (error) {
      close();
      throw error;
    }
  }

  /** The number of the latest run of `name` on this node; 0 before the first. */
  lastRun(name: string): number {
    return this.#runs.last(name);
  }

  /**
   * What reads the last lines of the run of `name` that is the latest one now, also when another has begun. It looks into
   * the shared memory and asks nobody: lines that the logs worker has not read yet are missing.
   */
  lastLines(name: string): () => string[] {
    const run = this.lastRun(name);
    const memory = this.#rings.find((ring) => ring.name === name)?.memory;
    return () => (memory === undefined ? [] : lastLinesOf(memory, run));
  }

  /** Says which run of `name` writes into its pipes from now on: what is read when `after` has resolved counts as its. */
  adopt(name: string, run: number, after?: Promise<unknown>): void {
    this.#runs.note(name, run);
    const begin = (): void => {
      for (const pipe of this.#pipesOf(name)) Atomics.store(pipe.words, pipeWord.run, run);
    };
    if (after === undefined) begin();
    // Unless it has been followed by another meanwhile.
    else void after.then(() => this.#runs.last(name) === run && begin());
  }

  /** Whether a process has the pipes of `name` as its stdout and stderr: those that are there now, not deleted ones. */
  isOutputOf(name: string, pid: number): boolean {
    return this.#pipesOf(name).every(({ source, path }) => {
      return isSameFile(path, `/proc/${pid}/fd/${source === 'stdout' ? 1 : 2}`);
    });
  }

  get stdouts(): ReadonlyMap<string, string> {
    return stdoutPaths(this.#dir);
  }

  /** The main thread's own log. */
  log(name: string): Logger {
    return createLog(name, this.threadLog(name).fd);
  }

  /**
   * The non-blocking descriptor that a thread writes its log to; it stays open. To be called for each start of the
   * thread, which is its next run. Throws NOT_FOUND.
   */
  threadLog(name: string): { readonly fd: number; readonly level: 'info' } {
    const [pipe] = this.#pipesOf(name);
    if (pipe === undefined) throw new HamletError('NOT_FOUND', `${name} has no log`);
    // The thread before has ended: what it has left in the pipe is read before this one has begun to write.
    if (Atomics.load(pipe.words, pipeWord.run) > 0) this.#sayEnded([pipe]);
    this.adopt(name, this.lastRun(name) + 1);
    return { fd: pipe.fd, level: 'info' };
  }

  /**
   * Waits until all that the ended run of `name` wrote is in its ring, its last line too if that has no newline.
   * Call it after the exit and before the next `openOutput`. False when the logs worker did not get to it in time
   * (it is dead and does not come back): then the last lines may pass for the next run's.
   */
  async endRun(name: string, timeoutMs = drainTimeoutMs): Promise<boolean> {
    const pipes = this.#pipesOf(name);
    this.#sayEnded(pipes);
    const drained = await Promise.all(pipes.map((pipe) => isDrained(pipe.words, timeoutMs)));
    return drained.every(Boolean);
  }

  /**
   * Sees to it that the next start's numbers begin behind those of every line, also when a log has used up the numbers
   * of this one, or will do so soon. Called every minute.
   */
  reserveNumbers(): void {
    const written = this.#rings.map(({ memory }) => ringViews(memory).control[ringWord.written] ?? 0);
    const start = startOf(Math.max(0, ...written) + sequencesPerStart / 2);
    if (start <= this.#start) return;
    try {
      noteStart(this.#startsFile, start);
      this.#start = start;
    } catch {
      // A full disk. The next time comes long before the numbers are used up.
    }
  }

  /** Closes what is open. The pipes stay where they are, for the components that go on running. */
  close(): void {
    clearInterval(this.#numbersTimer);
    this.#runs.flush();
    for (const pipe of this.#pipes) closeSync(pipe.fd);
  }

  /** Tells the logs worker that the runs that write into these pipes have ended. */
  #sayEnded(pipes: readonly Pipe[]): void {
    for (const { words } of pipes) {
      Atomics.store(words, pipeWord.endedRun, Atomics.load(words, pipeWord.run));
      Atomics.add(words, pipeWord.ended, 1);
    }
    const wake = new Int32Array(this.#wake);
    Atomics.add(wake, 0, 1);
    Atomics.notify(wake, 0);
  }

  #pipesOf(name: string): readonly Pipe[] {
    const pipes = this.#pipes.filter((pipe) => pipe.name === name);
    if (pipes.length === 0) throw new HamletError('NOT_FOUND', `${name} has no log`);
    return pipes;
  }
}

/** Where the components' stdout pipes are in the folder of the pipes, by the components' names. */
export function stdoutPaths(dir: string): ReadonlyMap<string, string> {
  return new Map(componentNames.map((name) => [name, path.join(dir, `${name}.stdout`)]));
}

/** Waits until the logs worker has drained the pipe as often as a run has ended. */
async function isDrained(words: Int32Array, timeoutMs: number): Promise<boolean> {
  const wanted = Atomics.load(words, pipeWord.ended);
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const drained = Atomics.load(words, pipeWord.drained);
    if (drained >= wanted) return true;
    const left = deadline - performance.now();
    if (left <= 0) return false;
    const wait = Atomics.waitAsync(words, pipeWord.drained, drained, left);
    if (wait.async) await wait.value;
  }
}
