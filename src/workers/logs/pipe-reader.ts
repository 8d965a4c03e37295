import { closeSync, constants, openSync, readSync, watch, type FSWatcher } from 'node:fs';
import { errnoOf } from '../../lib/errors.js';
import { LineSplitter } from '../../lib/line-splitter.js';
import { pipeWord, type LogPipe } from '../../lib/ring/memory.js';
import type { Ring } from '../../lib/ring/ring.js';

/** After so many bytes of one pipe the others and the mesh have their turn. */
const maxBytesPerTurn = 128 * 1024;

/** A writer that outlives its run could otherwise hold up the end of the run for good. */
const maxBytesAtEnd = 1024 * 1024;

/** A pipe is loud while so many bytes come within a window: 6.5 MB a second. */
const loudBytes = 65_536;
const windowMs = 10;

/** A loud pipe that was found empty so often in a row is looked at again a millisecond later only. */
const maxEmptyTurns = 4;

/** How often a pipe is looked at that cannot be watched, because the machine has no inotify watch left. */
const pollMs = 20;

/**
 * Reads one pipe into its ring, with readSync into shared memory and nothing else: the event loop's own reads would
 * go on for a moment in a thread that is being ended, and what they take from the pipe then is lost.
 *
 * inotify says when a quiet pipe has something, which costs nothing while it has not. For a loud one that would cost
 * its writer a part of each write, so it is not watched but read turn by turn, until it is quiet again.
 */
export class PipeReader {
  readonly #pipe: LogPipe;
  readonly #fd: number;
  readonly #words: Int32Array;
  readonly #splitter: LineSplitter;
  #state: 'closed' | 'loud' | 'polled' | FSWatcher = 'closed';
  #windowStartMs = 0;
  #windowBytes = 0;
  #emptyTurns = 0;
  #isScheduled = false;

  /** Opens the pipe. `redo` and `start` have to follow. */
  constructor(pipe: LogPipe, ring: Ring) {
    this.#pipe = pipe;
    this.#fd = openSync(pipe.path, constants.O_RDONLY | constants.O_NONBLOCK);
    this.#words = new Int32Array(pipe.memory.words);
    this.#splitter = new LineSplitter({ memory: pipe.memory, ring, source: pipe.source });
  }

  /** First step of a start: applies what a predecessor has written down, for all pipes before any of them is read. */
  redo(): void {
    this.#splitter.redo();
  }

  /** Finishes what a predecessor had begun, and reads from now on. */
  start(): void {
    this.#splitter.recover(this.#run);
    this.#becomeQuiet();
  }

  /** Drains the pipe for each run that has ended since, and says so to the main thread. */
  endRuns(): void {
    const ended = Atomics.load(this.#words, pipeWord.ended);
    if (this.#state === 'closed' || ended === Atomics.load(this.#words, pipeWord.drained)) return;
    this.#drain(maxBytesAtEnd);
    // Unless another run has begun already, which nobody waited with: then a line may go on.
    if (this.#run === Atomics.load(this.#words, pipeWord.endedRun)) this.#splitter.flush(this.#run);
    Atomics.store(this.#words, pipeWord.drained, ended);
    Atomics.notify(this.#words, pipeWord.drained);
  }

  /** Stops reading and closes the pipe. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#unwatch();
    this.#state = 'closed';
    closeSync(this.#fd);
  }

  get #run(): number {
    return Atomics.load(this.#words, pipeWord.run);
  }

  #turn(): void {
    if (this.#state === 'closed') return;
    const bytes = this.#drain(maxBytesPerTurn);
    const nowMs = performance.now();
    const isOver = nowMs - this.#windowStartMs >= windowMs;
    this.#windowBytes += bytes;
    const isLoud = this.#windowBytes >= loudBytes;
    if (isOver) {
      this.#windowStartMs = nowMs;
      this.#windowBytes = 0;
    }
    if (this.#state !== 'loud') {
      if (isLoud) this.#becomeLoud();
      else if (this.#state === 'polled') this.#turnAfter(pollMs);
    } else if (isOver && !isLoud) {
      this.#becomeQuiet();
    } else {
      this.#emptyTurns = bytes === 0 ? this.#emptyTurns + 1 : 0;
      this.#turnAfter(this.#emptyTurns > maxEmptyTurns ? 1 : 0);
    }
  }

  #turnAfter(ms: number): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const turn = () => {
      this.#isScheduled = false;
      this.#turn();
    };
    if (ms === 0) setImmediate(turn);
    else setTimeout(turn, ms);
  }

  #becomeLoud(): void {
    this.#unwatch();
    this.#state = 'loud';
    this.#turnAfter(0);
  }

  #becomeQuiet(): void {
    try {
      const watcher = watch(this.#pipe.path, () => {
        if (this.#state === watcher) this.#turn();
      });
      this.#state = watcher;
    } catch (error) {
      if (!['EMFILE', 'ENOSPC'].includes(errnoOf(error) ?? '')) throw error;
      this.#state = 'polled';
    }
    // What has come before the watch does not wake it.
    this.#turnAfter(0);
  }

  #unwatch(): void {
    if (typeof this.#state !== 'string') this.#state.close();
  }

  /** Reads until the pipe is empty or about `maxBytes` have come; gives how many. */
  #drain(maxBytes: number): number {
    const { landing } = this.#splitter;
    let bytes = 0;
    while (bytes < maxBytes) {
      const length = this.#read(landing);
      if (length > 0) this.#splitter.received(length, this.#run);
      bytes += length;
      if (length < landing.length) break;
    }
    return bytes;
  }

  /** 0 when nothing is there. An end of file cannot be: the main thread has the pipe open for writing. */
  #read(landing: Buffer): number {
    try {
      return readSync(this.#fd, landing, 0, landing.length, null);
    } catch (error) {
      if (errnoOf(error) === 'EAGAIN') return 0;
      throw error;
    }
  }
}
