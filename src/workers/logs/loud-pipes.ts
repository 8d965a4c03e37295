import { lowerThreadPriority } from '../../lib/thread-priority.js';

/** One of them. */
export interface LoudPipe {
  /** Reads what is there, a turn's worth at most; gives how many bytes that were. */
  turn(): number;
}

/** After a round that brought less than this the thread sleeps, so that the next one finds more than a line or two. */
const sparseBytes = 8_192;

/**
 * How long it sleeps, to which the kernel adds 0.05 ms. The shortest time is for a writer that would fill its pipe
 * meanwhile and then have to be woken up (64 KiB at 300 MB a second take 0.2 ms). Where a sleep brings less than
 * `scantBytes` it grows, up to what no caller of the thread notices.
 */
const shortestNapMs = 0.05;
const longestNapMs = 0.4;
const scantBytes = 2_048;

/** So much at once is a pipe that was full: what is not there of its 64 KiB are the ends of its pages (pipe(7)). */
export const wholePipeBytes = 61_440;

/**
 * One that writes whole pipes at once waits for us after each of them, and to fall asleep takes longer than it does to
 * bring the next one: for this time it is looked for without a pause.
 */
const eagerMs = 0.1;

/**
 * While a pipe is loud the thread gives way to the others: with two cores, a writer that never pauses and a thread that
 * reads it would otherwise have a call between other threads wait twice as long. At this priority it still gets a third
 * of what one of the usual gets.
 */
const loudNice = 5;

/**
 * Reads the pipes whose writers hardly pause, all of them in turn, and the event loop has its turn after each round.
 * Between sparse rounds the thread sleeps for a moment: a timer's millisecond would let a fast writer fill its pipe
 * and wait, and not to sleep would cost a core.
 */
export class LoudPipes {
  readonly #readers = new Set<LoudPipe>();
  #isReading = false;
  #lastBulkMs = -Infinity;
  #napMs = shortestNapMs;
  #hasSlept = false;
  #restorePriority = (): void => undefined;
  /** Nobody ever notifies it. */
  readonly #never = new Int32Array(new SharedArrayBuffer(4));

  /** Reads this pipe too, until it is quiet again. */
  add(reader: LoudPipe): void {
    this.#readers.add(reader);
    if (this.#isReading) return;
    this.#isReading = true;
    this.#restorePriority = lowerThreadPriority(loudNice);
    setImmediate(() => this.#round());
  }

  remove(reader: LoudPipe): void {
    this.#readers.delete(reader);
  }

  #round(): void {
    let bytes = 0;
    for (const reader of this.#readers) bytes += reader.turn();
    this.#isReading = this.#readers.size > 0;
    if (!this.#isReading) return this.#restorePriority();
    if (this.#hasSlept && bytes < scantBytes) this.#napMs = Math.min(2 * this.#napMs, longestNapMs);
    else if (bytes >= sparseBytes) this.#napMs = shortestNapMs;
    const nowMs = performance.now();
    if (bytes >= wholePipeBytes) this.#lastBulkMs = nowMs;
    this.#hasSlept = bytes < sparseBytes && nowMs - this.#lastBulkMs > eagerMs;
    if (this.#hasSlept) Atomics.wait(this.#never, 0, 0, this.#napMs);
    setImmediate(() => this.#round());
  }
}
