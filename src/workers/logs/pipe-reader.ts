import { closeSync, constants, openSync, readSync, watch, type FSWatcher } from 'node:fs';
import { errnoOf } from '../../lib/errors.js';
import { LineSplitter } from '../../lib/line-splitter.js';
import { pipeWord, type LogPipe } from '../../lib/ring/memory.js';
import type { Ring } from '../../lib/ring/ring.js';
import { wholePipeBytes, type LoudPipes } from './loud-pipes.js';
import { leaveLine, takeLine } from './unfinished-line.js';

/** After so many bytes of one pipe the others and the mesh have their turn. */
const maxBytesPerTurn = 256 * 1024;

/** A writer that outlives its run could otherwise hold up the end of the run for good. */
const maxBytesAtEnd = 1024 * 1024;

/** A pipe is loud while so many bytes come within a window: about 7,000 lines a second, where waking up costs more. */
const loudBytes = 8_192;
const windowMs = 10;

/** How often a pipe is looked at that cannot be watched, because the machine has no inotify watch left. */
const pollMs = 20;

/** How it is known that there is something to read. */
type State =
  | { readonly kind: 'watched'; readonly watcher: FSWatcher }
  | { readonly kind: 'polled'; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'loud' }
  | { readonly kind: 'closed' };

export interface PipeListeners {
  /** Hears of each batch of lines before the next one can overwrite any. */
  readonly onBatch: () => void;
  /** Hears when there may be new lines, once for all that a turn brings. */
  readonly onLines: () => void;
}

/**
 * Reads one pipe into its ring, with readSync into shared memory and nothing else: the event loop's own reads would
 * go on for a moment in a thread that is being ended, and what they take from the pipe then is lost.
 *
 * inotify says when a quiet pipe has something, which costs nothing while it has not. For a loud one that would cost
 * its writer a third of each write and us a wake-up for each line, so it is not watched but read in rounds, until it
 * is quiet again.
 */
export class PipeReader {
  readonly #pipe: LogPipe;
  readonly #fd: number;
  readonly #words: Int32Array;
  readonly #splitter: LineSplitter;
  readonly #loudPipes: LoudPipes;
  readonly #onLines: () => void;
  #state: State = { kind: 'closed' };
  #windowStartMs = 0;
  #windowBytes = 0;

  /** Opens the pipe. `redo` and `start` have to follow. */
  constructor(pipe: LogPipe, ring: Ring, loudPipes: LoudPipes, { onBatch, onLines }: PipeListeners) {
    this.#pipe = pipe;
    this.#fd = openSync(pipe.path, constants.O_RDONLY | constants.O_NONBLOCK);
    this.#words = new Int32Array(pipe.memory.words);
    this.#splitter = new LineSplitter({ memory: pipe.memory, ring, source: pipe.source, onBatch });
    this.#loudPipes = loudPipes;
    this.#onLines = onLines;
  }

  /** First step of a start: applies what a predecessor has written down, for all pipes before any of them is read. */
  redo(): void {
    this.#splitter.redo();
  }

  /** Finishes what a predecessor had begun, and reads from now on. */
  start(): void {
    this.#splitter.recover(this.#runOfRest);
    this.#goOn();
    this.#becomeQuiet();
  }

  /** Goes on with a line whose beginning the last Hamlet has read, if the run is still the same. */
  #goOn(): void {
    const left = takeLine(this.#pipe.path);
    if (left === undefined || this.#splitter.unfinished !== undefined) return;
    this.#splitter.resume(left);
    if (left.run !== this.#runOfRest) this.#splitter.flush(left.run);
  }

  /** Reads what is there, a turn's worth at most; gives how many bytes that were. */
  turn(): number {
    if (this.#state.kind === 'closed') return 0;
    const bytes = this.#drain(maxBytesPerTurn);
    this.#windowBytes += bytes;
    const isLoud = this.#windowBytes >= loudBytes;
    const nowMs = performance.now();
    const isOver = nowMs - this.#windowStartMs >= windowMs;
    if (isOver) {
      this.#windowStartMs = nowMs;
      this.#windowBytes = 0;
    }
    if (this.#state.kind !== 'loud') {
      if (isLoud) this.#becomeLoud();
    } else if (isOver && !isLoud) {
      this.#becomeQuiet();
    }
    return bytes;
  }

  /** Drains the pipe for each run that has ended since, and says so to the main thread. */
  endRuns(): void {
    const ended = Atomics.load(this.#words, pipeWord.ended);
    if (this.#state.kind === 'closed' || ended === Atomics.load(this.#words, pipeWord.drained)) return;
    this.#drain(maxBytesAtEnd, this.#runOfRest);
    // Unless another run has begun already, which nobody waited with: then a line may go on.
    if (this.run === Atomics.load(this.#words, pipeWord.endedRun)) {
      this.#splitter.flush(this.run);
      this.#onLines();
    }
    Atomics.store(this.#words, pipeWord.drained, ended);
    Atomics.notify(this.#words, pipeWord.drained);
  }

  /**
   * Reads what is left in the pipe, and closes it. What has no newline yet is left to the next Hamlet if the run goes on,
   * and becomes a line if not.
   */
  finish(): void {
    if (this.#state.kind === 'closed') return;
    this.endRuns();
    this.#drain(maxBytesAtEnd);
    if (!this.#leaveRest()) this.#splitter.flush(this.run);
    this.close();
  }

  /** Whether what has no newline yet is where the next Hamlet finds it. */
  #leaveRest(): boolean {
    const { unfinished } = this.#splitter;
    const { run } = this;
    const hasEnded = run === Atomics.load(this.#words, pipeWord.endedRun);
    if (unfinished === undefined || !this.#pipe.outlives || hasEnded) return false;
    try {
      leaveLine(this.#pipe.path, { run, ...unfinished });
      return true;
    } catch {
      // Two lines out of one are better than none.
      return false;
    }
  }

  /** Stops reading and closes the pipe. */
  close(): void {
    if (this.#state.kind === 'closed') return;
    this.#leave();
    this.#state = { kind: 'closed' };
    closeSync(this.#fd);
  }

  /** The run that what is read now belongs to. */
  get run(): number {
    return Atomics.load(this.#words, pipeWord.run);
  }

  /** The run that what is left in the pipe belongs to: one that has ended, if its end was not seen yet. */
  get #runOfRest(): number {
    const [ended, drained, endedRun] = (['ended', 'drained', 'endedRun'] as const).map((word) =>
      Atomics.load(this.#words, pipeWord[word]),
    );
    return ended === drained ? this.run : (endedRun ?? 0);
  }

  #becomeLoud(): void {
    this.#leave();
    this.#state = { kind: 'loud' };
    this.#loudPipes.add(this);
  }

  #becomeQuiet(): void {
    this.#leave();
    try {
      this.#state = { kind: 'watched', watcher: watch(this.#pipe.path, () => this.turn()) };
    } catch (error) {
      if (!['EMFILE', 'ENOSPC'].includes(errnoOf(error) ?? '')) throw error;
      this.#state = { kind: 'polled', timer: setInterval(() => this.turn(), pollMs) };
    }
    // What has come before the watch does not wake it.
    setImmediate(() => this.turn());
  }

  #leave(): void {
    switch (this.#state.kind) {
      case 'watched':
        return this.#state.watcher.close();
      case 'polled':
        return clearInterval(this.#state.timer);
      case 'loud':
        return this.#loudPipes.remove(this);
      case 'closed':
        return;
      default:
        return this.#state satisfies never;
    }
  }

  /** Reads until the pipe is empty or about `maxBytes` have come; gives how many. */
  #drain(maxBytes: number, run = this.run): number {
    const { landing } = this.#splitter;
    let bytes = 0;
    while (bytes < maxBytes) {
      const length = this.#read(landing);
      if (length > 0) this.#splitter.received(length, run);
      bytes += length;
      // Who has filled the pipe does so again while its lines are dealt with; after less it is empty.
      if (length < wholePipeBytes) break;
    }
    if (bytes > 0) this.#onLines();
    return bytes;
  }

  /** 0 when nothing is there. An end of file cannot be: the main thread has the pipe open for writing. */
  #read(landing: Buffer): number {
    const { stackTraceLimit } = Error;
    // An EAGAIN is no error of ours: to note where it came from would take three times as long as the call.
    Error.stackTraceLimit = 0;
    try {
      return readSync(this.#fd, landing, 0, landing.length, null);
    } catch (error) {
      if (errnoOf(error) === 'EAGAIN') return 0;
      throw error;
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  }
}
