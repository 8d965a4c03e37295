import { readSync } from 'node:fs';
import { Socket, type ConnectOpts, type SocketConstructorOpts } from 'node:net';
import { errnoOf } from '../../lib/errors.js';
import { LineSplitter } from '../../lib/line-splitter.js';
import { pipeWord, type LogPipe } from '../../lib/ring/memory.js';
import type { Ring } from '../../lib/ring/ring.js';

/** After so many bytes of one pipe the others and the mesh have their turn. */
const maxBytesPerTurn = 256 * 1024;

/** A writer that outlives its run could otherwise hold up the end of the run for good. */
const maxBytesAtEnd = 1024 * 1024;

/** Tells the reader's owner what it cannot handle itself: an error of the descriptor. */
export type OnError = (error: Error) => void;

/**
 * Reads one pipe into its ring. The event loop says when there is something to read, and has then already read it
 * into the landing; from there on readSync goes on, until the pipe is empty or the turn is over. Reading through the
 * event loop alone costs a wake-up for each few lines, and polling would cost an idle node its idleness.
 */
export class PipeReader {
  readonly #pipe: LogPipe;
  readonly #words: Int32Array;
  readonly #splitter: LineSplitter;
  readonly #socket: Socket;
  #isClosed = false;

  /** Takes over the pipe's descriptor. `start` has to follow. */
  constructor(pipe: LogPipe, ring: Ring, onError: OnError) {
    this.#pipe = pipe;
    this.#words = new Int32Array(pipe.memory.words);
    this.#splitter = new LineSplitter({ memory: pipe.memory, ring, source: pipe.source });
    Atomics.store(this.#words, pipeWord.taken, 1);
    const options: SocketConstructorOpts & ConnectOpts = {
      fd: pipe.fd,
      readable: true,
      writable: false,
      onread: { buffer: this.#splitter.landing, callback: (length) => this.#onReadable(length) },
    };
    this.#socket = new Socket(options);
    this.#socket.pause();
    this.#socket.on('error', onError);
  }

  /** First step of a start: applies what a predecessor has written down, for all pipes before any of them is read. */
  redo(): void {
    this.#splitter.redo();
  }

  /** Finishes what a predecessor had begun, and reads from now on. */
  start(): void {
    this.#splitter.recover(this.#run);
    this.endRuns();
    this.#socket.resume();
  }

  /** Drains the pipe for each run that has ended since, and says so to the main thread. */
  endRuns(): void {
    const ended = Atomics.load(this.#words, pipeWord.ended);
    if (this.#isClosed || ended === Atomics.load(this.#words, pipeWord.drained)) return;
    this.#drain(maxBytesAtEnd);
    this.#splitter.flush(this.#run);
    Atomics.store(this.#words, pipeWord.drained, ended);
    Atomics.notify(this.#words, pipeWord.drained);
  }

  /** Stops reading and closes the descriptor. */
  close(): void {
    this.#isClosed = true;
    this.#socket.destroy();
  }

  get #run(): number {
    return Atomics.load(this.#words, pipeWord.run);
  }

  /** False stops the socket until the next turn. */
  #onReadable(length: number): boolean {
    this.#splitter.received(length, this.#run);
    if (this.#drain(maxBytesPerTurn)) return true;
    setImmediate(() => this.#nextTurn());
    return false;
  }

  #nextTurn(): void {
    if (this.#isClosed) return;
    if (this.#drain(maxBytesPerTurn)) this.#socket.resume();
    else setImmediate(() => this.#nextTurn());
  }

  /** Reads until the pipe is empty, then true, or about `maxBytes` have come. */
  #drain(maxBytes: number): boolean {
    const { landing } = this.#splitter;
    for (let bytes = 0; bytes < maxBytes;) {
      const length = this.#read(landing);
      if (length === 0) return true;
      this.#splitter.received(length, this.#run);
      bytes += length;
    }
    return false;
  }

  /** 0 when nothing is there. An end of file cannot be: the main thread has the pipe open for writing. */
  #read(landing: Buffer): number {
    try {
      return readSync(this.#pipe.fd, landing, 0, landing.length, null);
    } catch (error) {
      if (errnoOf(error) === 'EAGAIN') return 0;
      throw error;
    }
  }
}
