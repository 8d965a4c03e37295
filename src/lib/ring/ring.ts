import { LineBlock, newRoom, type MakeRoom } from './block.js';
import { bytesOf, copyBytes } from './copy-bytes.js';
import { lineWord, lineWords, ringViews, ringWord, type RingLimits, type RingMemory } from './memory.js';

/** What the lines of one batch have in common. */
export interface Stamp {
  readonly wallMs: number;
  readonly monotonicUs: number;
  readonly run: number;
  readonly source: 'stdout' | 'stderr';
  readonly isCut: boolean;
}

/** Wraps a view; tests put a fault behind it that strikes at the n-th store. */
export type WrapView = <T extends object>(view: T) => T;
const asItIs: WrapView = (view) => view;

/**
 * The last lines of one log: an arena of pages for the bytes and an index for the rest, both in shared memory.
 *
 * Logical positions only grow, modulo 2^32, and are signed, so that V8 computes with them as the processor does, however
 * much was written; the page table says which page of the arena a position lies on. A page that holds no
 * line any more is used again, so the arena is as large as its lines have needed at most, and never moves.
 *
 * There is one writer, and the order of its stores is what makes its death harmless: `first` moves up before anything
 * that it gives up is overwritten; bytes and index are written where no line of first..written lies; and the single
 * store of `written` makes all of it count. Which pages are free follows from these two, so it is kept nowhere.
 */
export class Ring {
  readonly limits: RingLimits;
  /** A batch may have this many bytes at most. */
  readonly maxBatchBytes: number;
  readonly #memory: RingMemory;
  readonly #wrap: WrapView;
  readonly #control: Float64Array;
  readonly #table: Uint16Array;
  readonly #index: Uint32Array;
  readonly #indexBytes: Buffer;
  readonly #maxPages: number;
  /** A position is the number of a page, shifted so far, and the offset in it. */
  readonly #pageShift: number;
  readonly #offsetMask: number;
  #bytes: Buffer;
  #freePages: number[] = [];
  /** Positions of the first line, of the line to come, and behind the last page that is mapped. */
  #tail = 0;
  #head = 0;
  #mappedEnd = 0;

  /** Takes up a ring as its last writer left it. */
  constructor(memory: RingMemory, wrap: WrapView = asItIs) {
    const views = ringViews(memory);
    this.limits = memory.limits;
    this.#memory = memory;
    this.#wrap = wrap;
    this.#control = wrap(views.control);
    this.#table = wrap(views.table);
    this.#index = wrap(views.index);
    this.#indexBytes = bytesOf(views.index);
    this.#maxPages = Math.floor(this.limits.maxBytes / this.limits.pageBytes);
    this.#pageShift = Math.log2(this.limits.pageBytes);
    this.#offsetMask = this.limits.pageBytes - 1;
    this.maxBatchBytes = (this.#maxPages - 1) * this.limits.pageBytes;
    this.#bytes = wrap(Buffer.from(memory.pages, 0, memory.pages.byteLength));
    this.recover();
  }

  /** The number of the oldest line that is held. */
  get first(): number {
    return this.#control[ringWord.first] ?? 0;
  }

  /** The number that the next line will get. */
  get written(): number {
    return this.#control[ringWord.written] ?? 0;
  }

  /** The number of the first line that was ever written. */
  get origin(): number {
    return this.#control[ringWord.origin] ?? 0;
  }

  /** How many lines have been written, held or not. */
  get count(): number {
    return this.written - this.origin;
  }

  /** Bytes of memory that the ring has claimed: pages and index. */
  get claimedBytes(): number {
    return this.#memory.pages.byteLength + this.#memory.index.byteLength;
  }

  /** Finds the ends and the free pages again from what is in the shared memory. */
  recover(): void {
    this.#tail = this.#start(this.first);
    this.#head = this.#start(this.written);
    this.#mappedEnd = this.#pageOf(this.#head + this.#offsetMask);
    const used = new Set<number>();
    for (let page = this.#pageOf(this.#tail); page !== this.#mappedEnd; page = this.#pageBehind(page))
      used.add(this.#physical(page));
    const claimed = this.#memory.pages.byteLength / this.limits.pageBytes;
    this.#freePages = [];
    for (let page = claimed - 1; page >= 0; page -= 1) if (!used.has(page)) this.#freePages.push(page);
  }

  /**
   * Writes lines behind the last one without making them count yet. `parts` are their bytes, each line with a newline;
   * `ends` says where in them each of the `count` lines ends, newline included. At most `limits.maxLines` lines and
   * `maxBatchBytes` bytes. Returns what `commit` has to be given.
   */
  stage(parts: readonly Uint8Array[], ends: Uint32Array, count: number, stamp: Stamp): number {
    const { written } = this;
    this.#reserve(written + count, ends[count - 1] ?? 0);
    let position = this.#head;
    for (const part of parts) position = this.#copyIn(position, part);

    const wallLow = stamp.wallMs % 2 ** 32;
    const monotonicLow = stamp.monotonicUs % 2 ** 32;
    const high = Math.floor(stamp.wallMs / 2 ** 32) * 65_536 + Math.floor(stamp.monotonicUs / 2 ** 32);
    const run = stamp.run * 4 + (stamp.source === 'stderr' ? 2 : 0) + (stamp.isCut ? 1 : 0);
    const head = this.#head;
    const index = this.#index;
    let at = this.#slot(written);
    for (let i = 0; i < count; i += 1) {
      index[at + lineWord.wallLow] = wallLow;
      index[at + lineWord.monotonicLow] = monotonicLow;
      index[at + lineWord.high] = high;
      index[at + lineWord.run] = run;
      at = at + lineWords === index.length ? 0 : at + lineWords;
      index[at + lineWord.start] = (head + (ends[i] ?? 0)) | 0;
    }
    return written + count;
  }

  /** Makes all lines up to `written` count. The same value again changes nothing. */
  commit(written: number): void {
    this.#control[ringWord.written] = written;
    this.#head = this.#start(written);
  }

  /**
   * Copies the lines from number `from` up to, not including, `to`; both are moved to what is held. Stops when
   * `maxBytes` are reached, newlines counted. The copy lies in what `makeRoom` gives.
   */
  copy(from: number, to: number, maxBytes = Infinity, makeRoom: MakeRoom = newRoom): LineBlock {
    const begin = Math.min(Math.max(from, this.first), this.written);
    const end = this.#endOf(begin, Math.min(Math.max(to, begin), this.written), maxBytes);
    const count = end - begin;
    const bytes = (this.#start(end) - this.#start(begin)) >>> 0;
    const { index, data } = makeRoom((count + 1) * lineWords, bytes);
    this.#copyIndex(this.#slot(begin), bytesOf(index));
    // What lies behind the start of the line to come is of a line that was overwritten.
    index.fill(0, count * lineWords + 1);
    this.#copyOut(this.#start(begin), data);
    return new LineBlock(begin, count, index, data);
  }

  /** The first line that begins `maxBytes` or more behind `begin`, `end` at most. */
  #endOf(begin: number, end: number, maxBytes: number): number {
    const start = this.#start(begin);
    if ((this.#start(end) - start) >>> 0 <= maxBytes) return end;
    let [low, high] = [begin, end];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.#start(middle) - start) >>> 0 < maxBytes) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Where the page of a position begins. */
  #pageOf(position: number): number {
    return position & ~this.#offsetMask;
  }

  #pageBehind(page: number): number {
    return (page + this.limits.pageBytes) | 0;
  }

  /** Which page of the arena the page of a position is. */
  #physical(position: number): number {
    return this.#table[this.#entry(position)] ?? 0;
  }

  #entry(position: number): number {
    return (position >>> this.#pageShift) & (this.#table.length - 1);
  }

  #slot(sequence: number): number {
    return (sequence % (this.limits.maxLines + 1)) * lineWords;
  }

  /** Where the line starts. */
  #start(sequence: number): number {
    return (this.#index[this.#slot(sequence) + lineWord.start] ?? 0) | 0;
  }

  /** Gives up old lines until those below number `end` and `bytes` more bytes fit, and maps the pages for them. */
  #reserve(end: number, bytes: number): void {
    const { first, written } = this;
    const last = (this.#head + bytes - 1) | 0;
    let kept = Math.max(first, end - this.limits.maxLines);
    while (kept < written && this.#pagesBetween(this.#start(kept), last) >= this.#maxPages) kept += 1;
    if (kept !== first) {
      this.#control[ringWord.first] = kept;
      const tail = this.#start(kept);
      // Where no line is left, the page of the line to come may not be mapped yet.
      for (
        let page = this.#pageOf(this.#tail);
        page !== this.#pageOf(tail) && page !== this.#mappedEnd;
        page = this.#pageBehind(page)
      )
        this.#freePages.push(this.#physical(page));
      this.#tail = tail;
    }
    for (; ((last - this.#mappedEnd) | 0) >= 0; this.#mappedEnd = this.#pageBehind(this.#mappedEnd)) {
      this.#table[this.#entry(this.#mappedEnd)] = this.#claimPage();
    }
  }

  /** How many pages further the page of `to` is than that of `from`. */
  #pagesBetween(from: number, to: number): number {
    return (this.#pageOf(to) - this.#pageOf(from)) >>> this.#pageShift;
  }

  #claimPage(): number {
    const free = this.#freePages.pop();
    if (free !== undefined) return free;
    const { pages } = this.#memory;
    const size = pages.byteLength;
    pages.grow(size + this.limits.pageBytes);
    this.#bytes = this.#wrap(Buffer.from(pages, 0, pages.byteLength));
    return size / this.limits.pageBytes;
  }

  #copyIn(position: number, part: Uint8Array): number {
    const { pageBytes } = this.limits;
    for (let done = 0; done < part.length;) {
      const offset = (position + done) & this.#offsetMask;
      const size = Math.min(pageBytes - offset, part.length - done);
      const target = this.#physical(position + done) * pageBytes + offset;
      copyBytes(this.#bytes, target, part.subarray(done, done + size));
      done += size;
    }
    return (position + part.length) | 0;
  }

  /** Copies words of the index from word `at` on, which go on at its beginning. */
  #copyIndex(at: number, target: Buffer): void {
    const start = at * Uint32Array.BYTES_PER_ELEMENT;
    const untilWrap = this.#indexBytes.subarray(start, start + target.length);
    copyBytes(target, 0, untilWrap);
    copyBytes(target, untilWrap.length, this.#indexBytes.subarray(0, target.length - untilWrap.length));
  }

  #copyOut(position: number, data: Buffer): void {
    const { pageBytes } = this.limits;
    for (let done = 0; done < data.length;) {
      const offset = (position + done) & this.#offsetMask;
      const size = Math.min(pageBytes - offset, data.length - done);
      const from = this.#physical(position + done) * pageBytes + offset;
      copyBytes(data, done, this.#bytes.subarray(from, from + size));
      done += size;
    }
  }
}
