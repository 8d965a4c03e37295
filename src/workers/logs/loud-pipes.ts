import type { PipeReader } from './pipe-reader.js';

/** Rounds that bring less than this are made rarer, so that a read finds more than a line or two. */
const sparseBytes = 8_192;

/**
 * A writer of blocks fills its pipe within microseconds and then waits for us: after a round that brought so much the
 * next ones follow at once for a moment, as waking up takes longer than the next block.
 */
const bulkBytes = 32_768;
const eagerMs = 0.1;

/** Short enough that no writer fills its pipe meanwhile (64 KiB at 300 MB a second), and no caller notices. */
const napMs = 0.1;

/**
 * Reads the pipes whose writers hardly pause, all of them in turn, and the event loop has its turn after each round.
 * Between sparse rounds the thread sleeps for a moment: a timer's millisecond would let a fast writer fill its pipe
 * and wait, and not to sleep would cost a core.
 */
export class LoudPipes {
  readonly #readers = new Set<PipeReader>();
  #isReading = false;
  #lastBulkMs = -Infinity;
  /** Nobody ever notifies it. */
  readonly #never = new Int32Array(new SharedArrayBuffer(4));

  /** Reads this pipe too, until it is quiet again. */
  add(reader: PipeReader): void {
    this.#readers.add(reader);
    if (!this.#isReading) setImmediate(() => this.#round());
    this.#isReading = true;
  }

  remove(reader: PipeReader): void {
    this.#readers.delete(reader);
  }

  #round(): void {
    let bytes = 0;
    for (const reader of this.#readers) bytes += reader.turn();
    this.#isReading = this.#readers.size > 0;
    if (!this.#isReading) return;
    const nowMs = performance.now();
    if (bytes >= bulkBytes) this.#lastBulkMs = nowMs;
    else if (bytes < sparseBytes && nowMs - this.#lastBulkMs > eagerMs)
      Atomics.wait(this.#never, 0, 0, napMs);
    setImmediate(() => this.#round());
  }
}
