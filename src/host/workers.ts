import type { Logger } from 'pino';
import { messageOf } from '../lib/errors.js';
import { formatDuration } from '../lib/time.js';
import type { State, Cause, Action, TreeEvent } from '../supervision/state.js';
import { describeCause, describeState } from '../supervision/state.js';
import { Tree } from '../supervision/tree.js';
import { isShortage } from '../platform/shortage.js';
import { endBetween, RestartTracker, type OpenRestart } from '../supervision/restarts.js';
import type { RestartFields } from '../ipc/services/restart.js';
import type { History } from './history.js';
import type { Router } from './router.js';
import {
  startThread,
  type PreparedThread,
  type Thread,
  type ThreadExit,
  type ThreadOptions,
} from './threads.js';

const defaultStuckAfterMs = 10_000;
const startTimeoutMs = 30_000;
const stopPatienceMs = 5_000;
const terminated: Cause = { kind: 'killed', signal: 'terminate' };

export interface WorkerSpec {
  readonly name: string;
  readonly url: URL;
  /** Made anew for each start. */
  readonly data: () => unknown;
  readonly resourceLimits: NonNullable<ThreadOptions['resourceLimits']>;
  readonly givesWay?: boolean;
  /** For its first start. */
  readonly prepared?: PreparedThread | undefined;
}

export interface WorkersOptions {
  readonly router: Router;
  readonly log: Logger;
  /** Where a worker's log goes, by the worker's name. */
  readonly logOf: (name: string) => NonNullable<ThreadOptions['log']>;
  /** What reads the last lines of a worker's latest run, by the worker's name; no lines unless given. */
  readonly lastLines?: (name: string) => () => string[];
  readonly history: Pick<History, 'put' | 'open'>;
  readonly onState: (name: string, state: State, message: string) => void;
  /** A thread whose event loop does not turn for so long is ended and started again, in milliseconds; 10,000 unless given. */
  readonly stuckAfterMs?: number;
  /** How long one may take to end after it was ended by force, in milliseconds; 15,000 unless given. */
  readonly hangsAfterMs?: number;
  /** Hears of one that cannot be ended, and so not be started again, unless all are being stopped. */
  readonly onHanging?: (name: string) => void;
}

/** The worker threads under supervision: one that dies or hangs is started again, alone. */
export class Workers {
  readonly #options: WorkersOptions;
  readonly #tree = new Tree([], Math.random);
  readonly #specs = new Map<string, WorkerSpec>();
  readonly #threads = new Map<string, Thread>();
  readonly #reported = new Map<string, State>();
  readonly #restarts = new RestartTracker();
  readonly #written = new WeakMap<OpenRestart, number>();
  /** What reads the last lines of the run that has ended last, by name. */
  readonly #endedLines = new Map<string, () => string[]>();
  /** For each restart what reads the lines of its run, and those that were there at its last step. */
  readonly #lines = new WeakMap<OpenRestart, { readonly read: () => string[]; last: string[] }>();
  #wake: NodeJS.Timeout | undefined;
  #allStopped: (() => void) | undefined;

  constructor(options: WorkersOptions) {
    this.#options = options;
  }

  /** Starts a worker and keeps it running from now on. */
  add(spec: WorkerSpec): void {
    this.#specs.set(spec.name, spec);
    for (const { id, lastLines, ...restart } of this.#options.history.open([dotted(spec.name)])) {
      const open = this.#restarts.resume({ ...restart, name: spec.name });
      this.#written.set(open, id);
      this.#lines.set(open, { read: () => [], last: lastLines });
    }
    this.#tree.add({ name: spec.name, needs: [], startTimeoutMs, stopPatienceMs, failureThreshold: 1 });
    this.#handle({ kind: 'tick' });
  }

  /** Whether the worker serves right now. */
  isHealthy(name: string): boolean {
    return this.#specs.has(name) && this.#tree.state(name).kind === 'healthy';
  }

  /** Stops all of them; resolves when every thread has ended, but for those that hang (`hangingThreads`). */
  async stop(): Promise<void> {
    const stopped = new Promise<void>((resolve) => (this.#allStopped = resolve));
    this.#handle({ kind: 'stop' });
    for (const { name, hangs } of [...this.#threads.values()]) if (hangs) this.#ended(name, terminated);
    await stopped;
    clearTimeout(this.#wake);
  }

  #handle(event: TreeEvent): void {
    const nowMs = performance.now();
    for (const action of this.#tree.handle(event, nowMs)) this.#carryOut(action);
    this.#report(nowMs);
    clearTimeout(this.#wake);
    const wakeMs = this.#tree.nextWakeMs();
    if (wakeMs !== undefined) {
      this.#wake = setTimeout(() => this.#handle({ kind: 'tick' }), Math.max(0, wakeMs - performance.now()));
    }
    if (this.#tree.stopped) this.#allStopped?.();
  }

  #carryOut({ kind, name }: Action): void {
    switch (kind) {
      case 'start':
        this.#start(name);
        return;
      case 'terminate':
        void this.#threads.get(name)?.stop(stopPatienceMs);
        return;
      case 'kill':
        void this.#threads.get(name)?.terminate();
        return;
      default:
        return kind satisfies never;
    }
  }

  #start(name: string): void {
    const spec = this.#specs.get(name);
    if (spec === undefined) return;
    try {
      this.#threads.set(name, this.#startThread(spec));
    } catch (error) {
      this.#endedLines.delete(name);
      // Memory or descriptors that are missing now may be there at the next try.
      this.#handle({ kind: 'ended', name, cause: startFailure(error) });
      return;
    }
    this.#handle({ kind: 'executed', name });
  }

  #startThread(spec: WorkerSpec): Thread {
    const { router, logOf, stuckAfterMs = defaultStuckAfterMs, hangsAfterMs } = this.#options;
    const { name } = spec;
    const thread = startThread({
      name,
      url: spec.url,
      mesh: { path: router.path, secret: router.admit(name) },
      data: spec.data(),
      log: logOf(name),
      resourceLimits: spec.resourceLimits,
      givesWay: spec.givesWay ?? false,
      prepared: spec.prepared,
      stuckAfterMs,
      ...(hangsAfterMs !== undefined && { hangsAfterMs }),
      onEvent: (event) => {
        // Of one that was given up nothing more is wanted.
        if (this.#threads.get(name) !== thread) return;
        switch (event.kind) {
          case 'ready':
          case 'recovered':
            return this.#handle({ kind: 'probe', name, ok: true, message: '' });
          case 'stuck': {
            const message = `its event loop has not turned for ${formatDuration(event.silentMs)}`;
            void thread.terminate();
            this.#noteEnd(name);
            return this.#handle({ kind: 'probe', name, ok: false, message });
          }
          case 'hanging':
            return this.#giveUp(name);
          case 'exit':
            return this.#ended(name, causeOf(event.cause));
          default:
            return event satisfies never;
        }
      },
    });
    return thread;
  }

  #ended(name: string, cause: Cause): void {
    this.#threads.delete(name);
    this.#noteEnd(name);
    this.#handle({ kind: 'ended', name, cause });
  }

  /** One that cannot be ended counts as ended where nothing is to be started in its place. */
  #giveUp(name: string): void {
    const { log, onHanging } = this.#options;
    log.fatal(
      { worker: name },
      `worker ${name}: it does not end, not by force either: it hangs in a system call`,
    );
    if (this.#allStopped === undefined) onHanging?.(name);
    else this.#ended(name, terminated);
  }

  /** Before its next run begins, which has lines of its own. */
  #noteEnd(name: string): void {
    const read = this.#options.lastLines?.(name);
    if (read !== undefined) this.#endedLines.set(name, read);
  }

  #remember(open: OpenRestart | undefined): void {
    if (open === undefined) return;
    const fields = fieldsOf(open, this.#lastLines(open));
    this.#written.set(open, this.#options.history.put(this.#written.get(open) ?? null, fields));
  }

  /** At each step there may be more of them: the logs worker reads when it comes to it, and may be the one that died. */
  #lastLines(open: OpenRestart): string[] {
    const lines = this.#lines.get(open) ?? { read: this.#endedLines.get(open.name) ?? (() => []), last: [] };
    const now = lines.read();
    if (now.length > 0) lines.last = now;
    this.#lines.set(open, lines);
    return lines.last;
  }

  #report(nowMs: number): void {
    for (const name of this.#specs.keys()) {
      const state = this.#tree.state(name);
      const old = this.#reported.get(name);
      if (old === state) continue;
      this.#reported.set(name, state);
      this.#remember(this.#restarts.observe(name, old, state, nowMs, Date.now()));
      const message = describeState(state, nowMs);
      this.#tell(name, old, state, message);
      this.#options.onState(name, state, message);
    }
  }

  /** Logs each change of a worker's state; `dbg logs --events` shows them. */
  #tell(name: string, old: State | undefined, state: State, message: string): void {
    const { log } = this.#options;
    const cause = state.kind === 'backoff' ? state.cause : endBetween(old, state);
    if (cause !== null) log.error({ worker: name, cause }, `worker ${name}: ${describeCause(cause)}`);
    else if (old?.kind !== state.kind)
      log.info({ worker: name, state: state.kind }, `worker ${name}: ${message}`);
  }
}

/** No thread dies of another's death: a call to one that is away waits or fails. So there is no cause to be named. */
function fieldsOf({ restart }: OpenRestart, lastLines: string[]): RestartFields {
  const name = dotted(restart.name);
  return { ...restart, name, waitedFor: [...restart.waitedFor], lastLines, causeId: null };
}

/** A worker's name among those of everything else. */
function dotted(name: string): string {
  return `hamlet.${name}`;
}

function startFailure(error: unknown): Cause {
  return { kind: isShortage(error) ? 'shortage' : 'error', message: messageOf(error) };
}

function causeOf(exit: ThreadExit): Cause {
  switch (exit.kind) {
    case 'stopped':
      return { kind: 'exited', code: 0 };
    case 'terminated':
      return terminated;
    case 'out-of-memory':
      return { kind: 'out-of-memory' };
    case 'crashed': {
      const { error, exitCode } = exit;
      if (error === undefined) return { kind: 'exited', code: exitCode };
      const kind = isShortage(error) ? 'shortage' : 'error';
      return { kind, message: error.stack || error.message };
    }
    default:
      return exit satisfies never;
  }
}
