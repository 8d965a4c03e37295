import { lineWord, lineWords } from './memory.js';

/** One line of a ring. */
export interface RingLine {
  readonly sequence: number;
  /** Wall clock of its arrival, milliseconds since the epoch. */
  readonly atMs: number;
  /** The same moment on the machine's monotonic clock, microseconds. */
  readonly monotonicUs: number;
  readonly run: number;
  readonly source: 'stdout' | 'stderr';
  /** The line without its newline. */
  readonly data: Buffer<ArrayBuffer>;
  /** Its length before it was cut; data.length where it was not. */
  readonly trueBytes: number;
}

/** Bytes behind the data of a line that was cut: its true length. */
export const trueLengthBytes = 4;

/** Makes room for an index of so many words, and for so many bytes of lines. */
export type MakeRoom = (
  words: number,
  bytes: number,
) => { readonly index: Uint32Array<ArrayBuffer>; readonly data: Buffer<ArrayBuffer> };

export const newRoom: MakeRoom = (words, bytes) => ({
  index: new Uint32Array(words),
  data: Buffer.allocUnsafeSlow(bytes),
});

/** Lines that were copied out of a ring, decoded one by one as they are asked for. */
export class LineBlock {
  /** The number of the first line. */
  readonly sequence: number;
  readonly count: number;
  /** The bytes of all lines, each with its newline behind it. */
  readonly data: Buffer<ArrayBuffer>;
  readonly #index: Uint32Array<ArrayBuffer>;

  /** `index` holds `count + 1` lines: the last one gives the end of the one before, and has nothing else. */
  constructor(sequence: number, count: number, index: Uint32Array<ArrayBuffer>, data: Buffer<ArrayBuffer>) {
    this.sequence = sequence;
    this.count = count;
    this.data = data;
    this.#index = index;
  }

  /** Blocks that follow each other without a gap, as one. */
  static join(blocks: readonly LineBlock[]): LineBlock {
    const [first] = blocks;
    if (first === undefined || blocks.length === 1)
      return first ?? new LineBlock(0, 0, new Uint32Array(lineWords), Buffer.alloc(0));
    const count = blocks.reduce((sum, block) => sum + block.count, 0);
    const index = new Uint32Array((count + 1) * lineWords);
    let line = 0;
    let bytes = 0;
    for (const block of blocks) {
      index.set(block.#index, line * lineWords);
      const base = block.#index[lineWord.start] ?? 0;
      for (let i = 0; i <= block.count; i += 1) {
        index[(line + i) * lineWords + lineWord.start] =
          (block.#index[i * lineWords + lineWord.start] ?? 0) - base + bytes;
      }
      line += block.count;
      bytes += block.data.length;
    }
    return new LineBlock(first.sequence, count, index, Buffer.concat(blocks.map(({ data }) => data)));
  }

  /** The block without the lines before number `sequence`, of which there are fewer than all. */
  from(sequence: number): LineBlock {
    const left = Math.max(0, sequence - this.sequence);
    if (left === 0) return this;
    const start = (this.#word(left, lineWord.start) - this.#word(0, lineWord.start)) >>> 0;
    const index = this.#index.subarray(left * lineWords);
    return new LineBlock(this.sequence + left, this.count - left, index, this.data.subarray(start));
  }

  /** The same lines in memory of their own. */
  clone(): LineBlock {
    const { index, data } = newRoom(this.#index.length, this.data.length);
    index.set(this.#index);
    this.data.copy(data);
    return new LineBlock(this.sequence, this.count, index, data);
  }

  /** The number behind the last line. */
  get end(): number {
    return this.sequence + this.count;
  }

  /** The words of all lines and of the one to come (`lineWord`). */
  get index(): Readonly<Uint32Array<ArrayBuffer>> {
    return this.#index;
  }

  /** The latest time of arrival, milliseconds since the epoch, and the highest run. */
  summary(): { readonly latestMs: number; readonly lastRun: number } {
    const index = this.#index;
    let [latestMs, lastRun] = [0, 0];
    for (let at = 0; at < this.count * lineWords; at += lineWords) {
      const atMs = ((index[at + lineWord.high] ?? 0) >>> 16) * 2 ** 32 + (index[at + lineWord.wallLow] ?? 0);
      const run = (index[at + lineWord.run] ?? 0) >>> 2;
      if (atMs > latestMs) latestMs = atMs;
      if (run > lastRun) lastRun = run;
    }
    return { latestMs, lastRun };
  }

  /** The i-th line, from 0. Its data is a view into the block. */
  line(i: number): RingLine {
    const base = this.#word(0, lineWord.start);
    const start = (this.#word(i, lineWord.start) - base) >>> 0;
    // Behind each line there is its newline.
    const end = ((this.#word(i + 1, lineWord.start) - base) >>> 0) - 1;
    const run = this.#word(i, lineWord.run);
    const isCut = (run & 1) === 1;
    const data = this.data.subarray(start, isCut ? end - trueLengthBytes : end);
    const high = this.#word(i, lineWord.high);
    return {
      sequence: this.sequence + i,
      atMs: (high >>> 16) * 2 ** 32 + this.#word(i, lineWord.wallLow),
      monotonicUs: (high & 0xffff) * 2 ** 32 + this.#word(i, lineWord.monotonicLow),
      run: run >>> 2,
      source: (run & 2) === 0 ? 'stdout' : 'stderr',
      data,
      trueBytes: isCut ? this.data.readUInt32LE(end - trueLengthBytes) : data.length,
    };
  }

  /** The lines from number `from` up to, not including, `to`; all of them by default. */
  *lines(from = this.sequence, to = this.end): IterableIterator<RingLine> {
    const end = Math.min(this.count, to - this.sequence);
    for (let i = Math.max(0, from - this.sequence); i < end; i += 1) yield this.line(i);
  }

  [Symbol.iterator](): IterableIterator<RingLine> {
    return this.lines();
  }

  #word(line: number, offset: number): number {
    return this.#index[line * lineWords + offset] ?? 0;
  }
}
