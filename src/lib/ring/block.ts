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

/** Lines that were copied out of a ring, decoded one by one as they are asked for. */
export class LineBlock {
  /** The number of the first line. */
  readonly sequence: number;
  readonly count: number;
  readonly #index: Uint32Array;
  readonly #data: Buffer<ArrayBuffer>;

  /** `index` holds `count + 1` lines: the last one gives the end of the one before. */
  constructor(sequence: number, count: number, index: Uint32Array, data: Buffer<ArrayBuffer>) {
    this.sequence = sequence;
    this.count = count;
    this.#index = index;
    this.#data = data;
  }

  /** The i-th line, from 0. Its data is a view into the block. */
  line(i: number): RingLine {
    const word = (line: number, offset: number): number => this.#index[line * lineWords + offset] ?? 0;
    const base = word(0, lineWord.start);
    const start = (word(i, lineWord.start) - base) >>> 0;
    // Behind each line there is its newline.
    const end = ((word(i + 1, lineWord.start) - base) >>> 0) - 1;
    const high = word(i, lineWord.high);
    const run = word(i, lineWord.run);
    const isCut = (run & 1) === 1;
    const data = this.#data.subarray(start, isCut ? end - trueLengthBytes : end);
    return {
      sequence: this.sequence + i,
      atMs: (high >>> 16) * 2 ** 32 + word(i, lineWord.wallLow),
      monotonicUs: (high & 0xffff) * 2 ** 32 + word(i, lineWord.monotonicLow),
      run: run >>> 2,
      source: (run & 2) === 0 ? 'stdout' : 'stderr',
      data,
      trueBytes: isCut ? this.#data.readUInt32LE(end - trueLengthBytes) : data.length,
    };
  }

  *[Symbol.iterator](): IterableIterator<RingLine> {
    for (let i = 0; i < this.count; i += 1) yield this.line(i);
  }
}
