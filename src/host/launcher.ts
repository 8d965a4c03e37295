import { spawn, type ChildProcess } from 'node:child_process';
import { statSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { SpawnRequest } from '../ipc/services/host.js';
import { execFailure } from './exec.js';
import { atUsualPriority } from './priority.js';

/** Descriptors for a run's stdout and stderr, to be closed when the child has its copies. */
export interface Output {
  readonly stdout: number;
  readonly stderr: number;
  close(): void;
}

export type OpenOutput = (name: string, run: number) => Output;

/** How long what was started has run before the process for its next start is made, in milliseconds. */
const standbyDelayMs = 10_000;

const shell = '/bin/sh';
/** What a process on standby is called where processes are listed: the shell's $0. */
export const standbyName = 'hamlet-standby';
/**
 * Waits for a line and becomes the program; without one, because Hamlet has died, it ends. Until then it has neither the
 * component's stdout nor its stderr, by which a component that an earlier run has left is known.
 */
const standbyScript = 'read -r go <&3 && exec "$@" >&4 2>&5 3<&- 4>&- 5>&-';

/** A process that has yet to execute its program. */
interface Standby {
  readonly process: ChildProcess;
  readonly request: SpawnRequest;
  /** Which file the program was. */
  readonly program: string;
}

/**
 * Executes programs. fork(2) copies the page tables of all of Hamlet's memory, which takes longer than all else that
 * stands between the end of a component and its next start; so a while after each start a process is forked for the next
 * one, a shell that waits for a word to execute the same program with the same arguments.
 */
export class Launcher {
  readonly #openOutput: OpenOutput;
  readonly #delayMs: number;
  readonly #standbys = new Map<string, Standby>();
  readonly #timers = new Map<string, NodeJS.Timeout>();

  constructor(openOutput: OpenOutput, delayMs = standbyDelayMs) {
    this.#openOutput = openOutput;
    this.#delayMs = delayMs;
  }

  /**
   * Executes a component's program, which has been checked. Throws what execFailure() gives when that cannot be.
   * What it gives may have ended already.
   */
  async start(request: SpawnRequest, run: number): Promise<ChildProcess> {
    const standby = this.#take(request);
    return standby === undefined ? await this.#spawn(request, run) : await go(standby);
  }

  /** Whether a process waits to make just this start: then its program need not be looked at again. */
  isReady(request: SpawnRequest): boolean {
    const standby = this.#standbys.get(request.name);
    return standby !== undefined && isFor(standby, request);
  }

  /** Has a process ready for the next start of what has just been started, when that has run for a while. */
  prepare(request: SpawnRequest, run: number): void {
    const { name } = request;
    clearTimeout(this.#timers.get(name));
    const timer = setTimeout(() => this.#makeStandby(request, run), this.#delayMs);
    this.#timers.set(name, timer.unref());
  }

  /** What has not run for long enough gets nothing prepared. */
  ended(name: string): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  /** Ends what waits, and has nothing wait from now on. */
  close(): void {
    for (const name of this.#timers.keys()) this.ended(name);
    for (const { process } of this.#standbys.values()) process.kill('SIGKILL');
    this.#standbys.clear();
  }

  async #spawn({ name, argv, cwd, env }: SpawnRequest, run: number): Promise<ChildProcess> {
    const [file = '', ...args] = argv;
    const output = this.#openOutput(name, run);
    try {
      const { stdout, stderr } = output;
      const started = atUsualPriority(() =>
        spawn(file, args, { cwd, env, detached: true, stdio: ['ignore', stdout, stderr] }),
      );
      await new Promise((resolve, reject) => started.once('spawn', resolve).on('error', reject));
      return started;
    } catch (error) {
      throw execFailure(file, error);
    } finally {
      output.close();
    }
  }

  /** Without a standby the next start takes a little longer, and that is all: whatever keeps it from being is passed over. */
  #makeStandby(request: SpawnRequest, run: number): void {
    const { name, argv, cwd, env } = request;
    this.#timers.delete(name);
    this.#take(request)?.process.kill('SIGKILL');
    let output: Output | undefined;
    try {
      const program = identity(argv[0]);
      output = this.#openOutput(name, run);
      const { stdout, stderr } = output;
      const args = ['-c', standbyScript, standbyName, ...argv];
      const stdio = ['ignore', 'ignore', 'ignore', 'pipe', stdout, stderr] as const;
      const standby = atUsualPriority(() =>
        spawn(shell, args, { cwd, env, detached: true, stdio: [...stdio] }),
      );
      standby.on('error', () => this.#standbys.delete(name));
      wordOf(standby)
        ?.on('error', () => undefined)
        .unref();
      standby.unref();
      this.#standbys.set(name, { process: standby, request, program });
    } catch {
      this.#standbys.delete(name);
    } finally {
      output?.close();
    }
  }

  /** The standby for this start, if it is alive and waits to execute just this. */
  #take(request: SpawnRequest): Standby | undefined {
    const { name } = request;
    const standby = this.#standbys.get(name);
    this.#standbys.delete(name);
    if (standby === undefined || isFor(standby, request)) return standby;
    standby.process.kill('SIGKILL');
    return undefined;
  }
}

/** Whether a process waits to execute just this. */
function isFor({ process, request, program }: Standby, { digest, argv }: SpawnRequest): boolean {
  return waits(process) && request.digest === digest && program === identity(argv[0]);
}

/** Whether a process has been waited for. */
export function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

function waits(standby: ChildProcess): boolean {
  return !hasEnded(standby) && wordOf(standby)?.destroyed === false;
}

/** Says the word, and waits until the shell lets go of the line: that is when it executes the program. */
async function go({ process }: Standby): Promise<ChildProcess> {
  process.ref();
  const word = wordOf(process);
  if (word === undefined) return process;
  await new Promise((resolve) => {
    word.once('end', resolve).once('close', resolve).resume().write('\n');
  });
  return process;
}

/** What the word is said on. */
function wordOf({ stdio }: ChildProcess): Socket | undefined {
  return (stdio[3] as Socket | null | undefined) ?? undefined;
}

/** Names one state of a program's file: what has been executed from it once can be executed again. */
function identity(file = ''): string {
  const { dev, ino, size, mtimeMs } = statSync(file);
  return `${dev}:${ino}:${size}:${mtimeMs}`;
}
