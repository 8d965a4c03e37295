import { errnoOf } from '../../lib/errors.js';
import type { LineBlock } from '../../lib/ring/block.js';
import type { Ring } from '../../lib/ring/ring.js';
import { blockBytes, joinBlocks, type BlockInfo } from '../../lib/segments/block.js';
import type { BlockPool } from './block-pool.js';
import type { LeftLines } from './left-lines.js';
import { Segments, type SegmentsOptions } from './segments.js';

/** Memory of lines that wait for the disk, at most: what comes while one write is under way, and no more. */
const maxPendingBytes = 4 * 1024 * 1024;
/** What a block takes in memory; of short lines most of it is their index. */
const memoryOf = ({ index, data }: LineBlock): number =>
  index.buffer === data.buffer ? index.buffer.byteLength : index.byteLength + data.length;
const sumOf = (blocks: readonly LineBlock[]): number =>
  blocks.reduce((sum, block) => sum + memoryOf(block), 0);

/** What is looked for: lines that arrived since then, of this run or a later one. */
export interface Start {
  readonly sinceMs: number | null;
  readonly run: number | null;
}

export interface SegmentLogOptions extends SegmentsOptions {
  readonly ring: Ring;
  /** Memory for lines on their way to the disk; many logs share it. */
  readonly pool: BlockPool;
  /** Where lines are left that the disk does not take before the end; without it they are lost then. */
  readonly left?: LeftLines | undefined;
  /** Is waited for whenever a segment is full, before the next one is begun. */
  readonly onFull?: () => Promise<void>;
}

/**
 * One log on disk. It is written behind the ring, as another of its readers: lines that are overwritten before they got
 * here are missing here too, and the ring waits for nothing.
 */
export class SegmentLog {
  /** What is on disk. */
  readonly segments: Segments;
  readonly #ring: Ring;
  readonly #pool: BlockPool;
  readonly #left: LeftLines | undefined;
  readonly #onFull: () => Promise<void>;
  /** Lines on their way to the disk, and those behind them. */
  #writing: LineBlock[] = [];
  #writingBytes = 0;
  #pending: LineBlock[] = [];
  #pendingBytes = 0;
  /** The number of the first line that is not taken. */
  #next: number;
  #isOpen = false;
  /** Whether lines of the last Hamlet's are among those that wait. */
  #hasLeft = false;
  #write: Promise<void> | undefined;

  constructor({ ring, pool, left, onFull = async () => {}, ...options }: SegmentLogOptions) {
    this.#ring = ring;
    this.#pool = pool;
    this.#left = left;
    this.#onFull = onFull;
    // Lines that are on disk already go when that is known: others could be overwritten before.
    this.#next = ring.first;
    this.segments = new Segments(options);
  }

  /** Finds what is on disk. Throws what the disk throws. */
  async open(): Promise<void> {
    const end = await this.segments.open();
    // The numbers have begun anew, so the node's state was taken away but for this: its lines are of another node.
    if (end > this.#ring.written) {
      await this.segments.clear();
      this.#left?.remove();
    } else {
      this.#takeUp(end);
    }
    this.#isOpen = true;
  }

  /** Leaves to the next Hamlet what could not be written. Throws what writing a file throws. */
  async close(): Promise<void> {
    this.take();
    if (this.#isOpen && this.#pending.length > 0) this.#left?.leave(this.#pending);
    await this.segments.close();
  }

  /** Whether what is on disk is known. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Memory of the lines that wait to be written, in bytes. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Lines in the ring that are not taken yet. */
  get behind(): number {
    return this.#ring.written - this.#next;
  }

  /** Copies what is new out of the ring, as far as there is room. */
  take(): void {
    while (this.#next < this.#ring.written && this.#hasRoom) {
      const block = this.#ring.copy(this.#next, Infinity, blockBytes, this.#pool.makeRoom);
      this.#pending.push(block);
      this.#pendingBytes += memoryOf(block);
      this.#next = block.end;
    }
  }

  /** A write that fails gives all of its lines back, so that what comes meanwhile is bounded together with them. */
  get #hasRoom(): boolean {
    const waiting = this.#pendingBytes;
    return waiting < maxPendingBytes && waiting + this.#writingBytes < 2 * maxPendingBytes;
  }

  /** Whether a write is under way. */
  get isWriting(): boolean {
    return this.#write !== undefined;
  }

  /** Writes all that is in the ring now. Throws what the disk throws, and then nothing is lost by it. */
  async write(): Promise<void> {
    await this.#write?.catch(() => undefined);
    this.#write ??= this.#writePending().finally(() => (this.#write = undefined));
    await this.#write;
  }

  async #writePending(): Promise<void> {
    this.take();
    this.#writing = [...joinBlocks(this.#pending)];
    this.#writingBytes = this.#pendingBytes;
    this.#pending = [];
    this.#pendingBytes = 0;
    try {
      while (this.#writing.length > 0) {
        const count = await this.segments.append(this.#writing);
        for (const block of this.#writing.splice(0, count)) this.#pool.giveBack(block);
        if (await this.segments.closeFull()) await this.#onFull();
      }
      this.#writingBytes = 0;
      this.#forgetLeft();
    } catch (error) {
      this.#pending = [...this.#writing, ...this.#pending];
      this.#writing = [];
      this.#writingBytes = 0;
      this.#pendingBytes = sumOf(this.#pending);
      throw error;
    }
  }

  /** What is on disk twice comes to the reader once, so a file that cannot be removed is no failure. */
  #forgetLeft(): void {
    if (!this.#hasLeft) return;
    this.#hasLeft = false;
    try {
      this.#left?.remove();
    } catch {
      // The next start leaves out what is on disk already.
    }
  }

  /** The first lines whose number is `sequence` or higher, a block of them; undefined when none are here. */
  async linesFrom(sequence: number): Promise<LineBlock | undefined> {
    const onDisk = await this.segments.linesFrom(sequence);
    return onDisk ?? this.#inMemory.find((block) => block.end > sequence)?.clone();
  }

  /** The last lines whose number is below `sequence`, a block of them; undefined when none are here. */
  async linesBefore(sequence: number): Promise<LineBlock | undefined> {
    const inMemory = this.#inMemory.findLast((block) => block.sequence < sequence);
    return inMemory?.clone() ?? (await this.segments.linesBefore(sequence));
  }

  /**
   * The first number of the first block that may have such lines, or had them before it was given up for the budget;
   * undefined when none here has.
   */
  async find({ sinceMs, run }: Start): Promise<number | undefined> {
    const isWanted = ({ latestMs, lastRun }: Pick<BlockInfo, 'latestMs' | 'lastRun'>): boolean =>
      latestMs >= (sinceMs ?? -Infinity) && lastRun >= (run ?? 0);
    const dropped = this.segments.dropped.find(isWanted);
    if (dropped !== undefined) return dropped;
    const place = await this.segments.find(isWanted);
    return place?.entry.from ?? this.#inMemory.find((block) => isWanted(block.summary()))?.sequence;
  }

  get #inMemory(): readonly LineBlock[] {
    return [...this.#writing, ...this.#pending];
  }

  /** Goes on behind number `end` with what the last Hamlet has left, and what was taken. */
  #takeUp(end: number): void {
    const left = this.#left?.read().filter((block) => block.end <= this.#ring.first) ?? [];
    this.#hasLeft = left.length > 0;
    this.#next = Math.max(this.#next, end);
    this.#pending = [...left, ...this.#pending]
      .filter((block) => block.end > end)
      .map((block) => block.from(end));
    this.#pendingBytes = sumOf(this.#pending);
  }
}

/** Whether an error says that the disk, or the user's share of it, is full. */
export const isFull = (error: unknown): boolean => ['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '');
