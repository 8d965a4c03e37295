import { writeSync } from 'node:fs';
import { errnoOf } from './errors.js';

/** What may wait while nobody reads; a crash of the logs worker is over long before so much has come. */
const maxWaitingBytes = 256 * 1024;
const retryMs = 50;

export interface PipeWriterOptions {
  /** Open for writing without blocking. */
  readonly fd: number;
  readonly maxWaiting?: number;
  /** Makes the line that says how many were dropped, once there is room again. */
  readonly describeDropped: (count: number) => string;
}

/**
 * Writes lines into a pipe and never waits: a line that does not fit waits in memory, and what does not fit there is
 * counted and dropped. A line that fits into the pipe is there when `write` returns, so the last words of a thread
 * that crashes are kept.
 */
export class PipeWriter {
  readonly #fd: number;
  readonly #maxWaiting: number;
  readonly #describeDropped: (count: number) => string;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor({ fd, maxWaiting = maxWaitingBytes, describeDropped }: PipeWriterOptions) {
    this.#fd = fd;
    this.#maxWaiting = maxWaiting;
    this.#describeDropped = describeDropped;
  }

  /** Writes one line that ends in a newline. */
  write(line: string): void {
    const data = Buffer.from(line);
    if (this.#waiting.length > 0) this.flush();
    if (this.#waitingBytes > 0 && this.#waitingBytes + data.length > this.#maxWaiting) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(data);
    this.#waitingBytes += data.length;
    this.flush();
  }

  /** Writes what waits, as far as there is room. */
  flush(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    for (let line = this.#waiting[0]; line !== undefined; line = this.#waiting[0]) {
      const length = this.#writeSome(line);
      this.#waitingBytes -= length;
      if (length < line.length) {
        // Beyond 4,096 bytes a pipe may take a part (pipe(7), PIPE_BUF).
        this.#waiting[0] = line.subarray(length);
        this.#retry = setTimeout(() => this.flush(), retryMs).unref();
        return;
      }
      this.#waiting.shift();
      if (this.#waiting.length === 0 && this.#dropped > 0) {
        const data = Buffer.from(this.#describeDropped(this.#dropped));
        this.#dropped = 0;
        this.#waiting.push(data);
        this.#waitingBytes += data.length;
      }
    }
  }

  #writeSome(data: Buffer): number {
    try {
      return writeSync(this.#fd, data);
    } catch (error) {
      if (errnoOf(error) === 'EAGAIN') return 0;
      throw error;
    }
  }
}
