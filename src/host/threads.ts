import { type ResourceLimits, Worker } from 'node:worker_threads';
import { errnoOf, HamletError } from '../lib/errors.js';
import { deferred } from '../ipc/deferred.js';
import {
  HEARTBEAT_MS,
  type HostMessage,
  type ThreadLog,
  type ThreadMessage,
  type ThreadName,
} from '../ipc/thread.js';
import { atUsualPriority } from './priority.js';

/** What a thread needs to load its modules. */
export interface ThreadProgram {
  readonly name: string;
  /** The worker's main file. */
  readonly url: URL;
  readonly resourceLimits?: ResourceLimits;
  readonly env?: NodeJS.ProcessEnv;
  /** Options of Node's own for the thread; those of this process by default. */
  readonly execArgv?: readonly string[];
  /** Whether it has so much to do that it is to give way to the other threads (./priority.ts). */
  readonly givesWay?: boolean;
}

export interface ThreadOptions extends ThreadProgram {
  /** A thread of this program that has been prepared; unless there is one, or it is in use, another is made. */
  readonly prepared?: PreparedThread | undefined;
  /** The router's path, and what Router.admit() gave for the name. */
  readonly mesh: { readonly path: string; readonly secret: string };
  /** Handed to the worker's setup function as a structured clone; SharedArrayBuffers are shared. */
  readonly data?: unknown;
  readonly log?: ThreadLog;
  /**
   * A thread whose event loop has not turned for this long is reported as stuck, in milliseconds. Loading its
   * modules does not count.
   */
  readonly stuckAfterMs?: number;
  /** One that has not ended so long after it was ended by force is reported as hanging, in milliseconds; 15,000 unless given. */
  readonly hangsAfterMs?: number;
  readonly onEvent?: (event: ThreadEvent) => void;
}

/** An error that ended a thread; only its text crosses over. */
export interface ThreadError {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  readonly code?: string;
}

export type ThreadExit =
  /** It was asked to, and did. */
  | { readonly kind: 'stopped' }
  /** It was ended by force: terminate(), or stop() whose patience was over. */
  | { readonly kind: 'terminated' }
  | { readonly kind: 'out-of-memory'; readonly message: string }
  | { readonly kind: 'crashed'; readonly exitCode: number; readonly error?: ThreadError };

export type ThreadEvent =
  | { readonly kind: 'ready'; readonly afterMs: number }
  | { readonly kind: 'stuck'; readonly silentMs: number }
  | { readonly kind: 'recovered' }
  /** It cannot be ended: it, or what it has under way, is in a system call that does not return. */
  | { readonly kind: 'hanging' }
  | { readonly kind: 'exit'; readonly cause: ThreadExit };

function newWorker({ url, name, resourceLimits, env, execArgv, givesWay }: ThreadProgram): Worker {
  const start = () =>
    new Worker(url, {
      name,
      workerData: { name } satisfies ThreadName,
      ...(resourceLimits !== undefined && { resourceLimits }),
      ...(env !== undefined && { env }),
      ...(execArgv !== undefined && { execArgv: [...execArgv] }),
    });
  return givesWay === true ? atUsualPriority(start) : start();
}

/**
 * A thread that loads its modules before it is known what it is to do. If nobody comes for it, who has made it ends it.
 */
export class PreparedThread implements Disposable {
  #worker: Worker | undefined;
  readonly #forget = (): void => {
    this.#worker = undefined;
  };

  constructor(program: ThreadProgram) {
    this.#worker = newWorker(program);
    // One that cannot even load is made again when it is wanted, and then its end is told.
    this.#worker.once('error', this.#forget).once('exit', this.#forget);
  }

  /** The thread, for the first who asks; undefined when it has ended by itself. */
  take(): Worker | undefined {
    const worker = this.#worker;
    this.#worker = undefined;
    worker?.off('error', this.#forget).off('exit', this.#forget);
    return worker;
  }

  [Symbol.dispose](): void {
    void this.#worker?.terminate();
  }
}

/** The default of `hangsAfterMs`: the collector may have to take down a heap of 256 MB on a busy machine first. */
const defaultHangsAfterMs = 15_000;

const hanging = new Set<Thread>();

/** The names of the threads of this process that hang, and that its end would wait for. */
export const hangingThreads = (): readonly string[] => [...hanging].map(({ name }) => name);

/** A running worker thread. */
export class Thread {
  readonly name: string;
  /** Resolves when the worker's setup is done and it serves; rejected if it ends before. */
  readonly ready: Promise<undefined>;
  /** Resolves when the thread has ended. Never rejected. */
  readonly exited: Promise<ThreadExit>;
  readonly #worker: Worker;
  readonly #startedMs = performance.now();
  readonly #emit: (event: ThreadEvent) => void;
  readonly #hangsAfterMs: number;
  #hangTimer: NodeJS.Timeout | undefined;
  #hasEnded = false;
  #ending: 'stopped' | 'terminated' | undefined;
  #error: unknown;

  /** @internal Use startThread(). */
  constructor(options: ThreadOptions) {
    this.name = options.name;
    this.#emit = options.onEvent ?? (() => undefined);
    this.#hangsAfterMs = options.hangsAfterMs ?? defaultHangsAfterMs;
    const heartbeat = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    this.#worker = options.prepared?.take() ?? newWorker(options);
    this.#post({
      kind: 'begin',
      thread: {
        name: options.name,
        mesh: options.mesh,
        log: options.log ?? {},
        data: options.data,
        heartbeat,
      },
    });
    const ready = deferred<undefined>();
    const exited = deferred<ThreadExit>();
    this.ready = ready.promise;
    this.exited = exited.promise;
    ready.promise.catch(() => undefined);
    this.#worker.on('message', (message: ThreadMessage) => {
      message.kind satisfies 'ready';
      ready.resolve(undefined);
      this.#emit({ kind: 'ready', afterMs: performance.now() - this.#startedMs });
    });
    this.#worker.on('error', (error) => (this.#error = error));
    const watch =
      options.stuckAfterMs === undefined ? undefined : this.#watch(heartbeat, options.stuckAfterMs);
    this.#worker.on('exit', (exitCode) => {
      clearInterval(watch);
      clearTimeout(this.#hangTimer);
      this.#hasEnded = true;
      hanging.delete(this);
      const cause = this.#causeOf(exitCode);
      ready.reject(
        new HamletError('UNAVAILABLE', `${this.name} ended before it was ready: ${inWords(cause)}`),
      );
      exited.resolve(cause);
      this.#emit({ kind: 'exit', cause });
    });
  }

  /** Whether it was ended by force and has not ended. */
  get hangs(): boolean {
    return hanging.has(this);
  }

  /** Asks the worker to stop, and ends it by force after `patienceMs`. Gives how it ended. */
  async stop(patienceMs: number): Promise<ThreadExit> {
    this.#ending ??= 'stopped';
    this.#post({ kind: 'stop' });
    const timer = setTimeout(() => void this.terminate(), patienceMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the thread by force. Gives how it ended. */
  async terminate(): Promise<ThreadExit> {
    this.#ending = 'terminated';
    this.#hangTimer ??= setTimeout(() => this.#checkEnd(), this.#hangsAfterMs);
    await this.#worker.terminate();
    return this.exited;
  }

  /** Its end may have come while this thread itself stood still, and be told right after this. */
  #checkEnd(): void {
    setImmediate(() => {
      if (this.#hasEnded) return;
      hanging.add(this);
      this.#emit({ kind: 'hanging' });
    });
  }

  #post(message: HostMessage): void {
    this.#worker.postMessage(message);
  }

  #causeOf(exitCode: number): ThreadExit {
    const error = this.#error;
    if (error !== undefined) {
      const { name, message, stack, code } = describe(error);
      if (code === 'ERR_WORKER_OUT_OF_MEMORY') return { kind: 'out-of-memory', message };
      return {
        kind: 'crashed',
        exitCode,
        error: { name, message, stack, ...(code !== undefined && { code }) },
      };
    }
    if (this.#ending === 'terminated') return { kind: 'terminated' };
    if (this.#ending === 'stopped' && exitCode === 0) return { kind: 'stopped' };
    return { kind: 'crashed', exitCode };
  }

  #watch(heartbeat: SharedArrayBuffer, stuckAfterMs: number): NodeJS.Timeout {
    const beats = new Int32Array(heartbeat);
    let last = 0;
    let changedMs = performance.now();
    let checkedMs = changedMs;
    let stuck = false;
    const timer = setInterval(
      () => {
        const now = performance.now();
        const beat = Atomics.load(beats, 0);
        // Time in which this thread itself stood still (a suspended machine) says nothing about the other.
        const stoodStillMs = Math.max(0, now - checkedMs - stuckAfterMs);
        checkedMs = now;
        changedMs += stoodStillMs;
        if (beat === 0) {
          changedMs = now;
        } else if (beat !== last) {
          last = beat;
          changedMs = now;
          if (stuck) this.#emit({ kind: 'recovered' });
          stuck = false;
        } else if (!stuck && now - changedMs >= stuckAfterMs) {
          stuck = true;
          this.#emit({ kind: 'stuck', silentMs: now - changedMs });
        }
      },
      Math.max(HEARTBEAT_MS, stuckAfterMs / 4),
    );
    timer.unref();
    return timer;
  }
}

/** Starts a worker thread. Everything that happens to it reaches `onEvent`; the last event is its exit. */
export function startThread(options: ThreadOptions): Thread {
  return new Thread(options);
}

function inWords(exit: ThreadExit): string {
  if (exit.kind === 'crashed') return exit.error?.message ?? `exit code ${exit.exitCode}`;
  return exit.kind === 'out-of-memory' ? exit.message : exit.kind;
}

function describe(error: unknown): ThreadError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), stack: '' };
  const code = errnoOf(error) ?? ('code' in error && typeof error.code === 'string' ? error.code : undefined);
  const { name, message, stack = '' } = error;
  return { name, message, stack, ...(code !== undefined && { code }) };
}
