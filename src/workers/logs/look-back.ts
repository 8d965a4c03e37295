import type { LineBlock, RingLine } from '../../lib/ring/block.js';
import type { Archive } from './archive.js';
import type { Source } from './source.js';

/** Lines that are copied out of a ring at once. */
const linesPerCopy = 128;

/** One log that is read from its end, line by line. It holds one block of it, however far back it goes. */
export class LookBack {
  readonly source: Source;
  /** The number of the first line that may be wanted. */
  readonly first: number;
  /** The wanted line that was found last and not taken yet. */
  line: RingLine | undefined;
  #block: LineBlock | undefined;
  /** The lines of the block, and the numbers, that are not looked at yet. */
  #left = 0;
  #before: number;
  #isOver = false;

  /** Begins before the source's end; goes back to line `first`. */
  constructor(source: Source, first: number) {
    this.source = source;
    this.first = first;
    this.#before = Math.min(source.ring.written, source.end);
    source.next = this.#before;
  }

  /** Whether there may be another wanted line, and it is not found yet. */
  get isSearching(): boolean {
    return this.line === undefined && !this.#isOver;
  }

  /** The line before the last one that this gave; undefined when `load` has to bring it. */
  previous(): RingLine | undefined {
    if (this.#block === undefined || this.#left === 0) return undefined;
    this.#left -= 1;
    return this.#block.line(this.#left);
  }

  /** Brings the lines before those that were looked at, from memory or from disk; `count` of them are enough. */
  async load(archive: Archive | undefined, count: number): Promise<void> {
    const { ring, name } = this.source;
    const before = this.#before;
    this.#block = undefined;
    if (before > this.first) {
      this.#block =
        before > ring.first
          ? ring.copy(before - Math.min(count, linesPerCopy), before)
          : await archive?.linesBefore(name, before);
    }
    if (this.#block === undefined) {
      this.#isOver = true;
      return;
    }
    this.#left = Math.min(this.#block.count, before - this.#block.sequence);
    this.#before = Math.min(this.#block.sequence, before - 1);
  }
}
