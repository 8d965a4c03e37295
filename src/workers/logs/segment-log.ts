import path from 'node:path';
import { errnoOf } from '../../lib/errors.js';
import type { LineBlock } from '../../lib/ring/block.js';
import type { Ring } from '../../lib/ring/ring.js';
import {
  blockBytes,
  encodeBlock,
  headerOf,
  joinBlocks,
  lengthOf,
  summaryOf,
  type BlockInfo,
} from '../../lib/segments/block.js';
import { addEntry, scanSegment, type Entry } from '../../lib/segments/segment.js';
import type { OpenSegment, SegmentFiles } from './segment-files.js';
import { infoOf, packedFile, parseName, rawFile, SegmentReader, type Segment } from './segment.js';

/** Lines that wait for the disk, at most: what comes while one write is under way, and no more. */
const maxPendingBytes = 2 * 1024 * 1024;
/** Raw segments that wait to be packed, at most: beyond that the component writes faster than can be compressed. */
const maxRaw = 8;

/** The segment that is being written. */
interface Active {
  readonly file: string;
  readonly handle: OpenSegment;
  readonly entries: Entry[];
  bytes: number;
  isSynced: boolean;
}

/** What is looked for: lines that arrived since then, of this run or a later one. */
export interface Start {
  readonly sinceMs: number | null;
  readonly run: number | null;
}

export interface SegmentLogOptions {
  readonly ring: Ring;
  readonly dir: string;
  readonly files: SegmentFiles;
  /** A raw segment is closed when it is so large. */
  readonly segmentBytes: number;
}

/**
 * One log on disk. It is written behind the ring, as another of its readers: lines that are overwritten before they got
 * here are missing here too, and the ring waits for nothing.
 */
export class SegmentLog {
  readonly #ring: Ring;
  readonly #dir: string;
  readonly #files: SegmentFiles;
  readonly #segmentBytes: number;
  readonly #reader: SegmentReader;
  /** Oldest first. */
  readonly #segments: Segment[] = [];
  #active: Active | undefined;
  /** Lines on their way to the disk, and those behind them. */
  #writing: LineBlock[] = [];
  #pending: LineBlock[] = [];
  #pendingBytes = 0;
  /** The number of the first line that is not taken. */
  #next: number;
  #isOpen = false;
  #write: Promise<void> | undefined;

  constructor({ ring, dir, files, segmentBytes }: SegmentLogOptions) {
    this.#ring = ring;
    // Lines that are on disk already go when that is known: others could be overwritten before.
    this.#next = ring.first;
    this.#dir = dir;
    this.#files = files;
    this.#segmentBytes = segmentBytes;
    this.#reader = new SegmentReader(files);
  }

  /** Finds what is there, and cuts off what was not written to its end. Throws what the disk throws. */
  async open(): Promise<void> {
    await this.close();
    this.#segments.length = 0;
    const files = await this.#files.list(this.#dir);
    const raws: number[] = [];
    for (const { name, bytes } of files) {
      const found = parseName(this.#dir, name, bytes);
      if (found === undefined) await this.#files.remove(path.join(this.#dir, name));
      else if (found.kind === 'raw') raws.push(found.from);
      else this.#segments.push(found);
    }
    for (const from of raws.sort((a, b) => a - b)) await this.#openRaw(from);
    this.#segments.sort((a, b) => a.from - b.from);
    const end = Math.max(this.#active?.entries.at(-1)?.to ?? 0, ...this.#segments.map(({ to }) => to));
    if (end > this.#ring.written) await this.#forget();
    else this.#leaveOut(end);
    this.#isOpen = true;
  }

  /** Whether what is on disk is known. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** What all of it takes on disk. */
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, this.#active?.bytes ?? 0);
  }

  /** Bytes that wait to be written. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Lines in the ring that are not taken yet. */
  get behind(): number {
    return this.#ring.written - this.#next;
  }

  /** The highest run on disk; 0 when there is none. */
  get lastRun(): number {
    return Math.max(
      0,
      ...[...this.#segments, ...(this.#active?.entries ?? [])].map(({ lastRun }) => lastRun),
    );
  }

  /** Copies what is new out of the ring, as far as there is room. */
  take(): void {
    if (this.raw.length >= maxRaw) return;
    while (this.#next < this.#ring.written && this.#pendingBytes < maxPendingBytes) {
      const block = this.#ring.copy(this.#next, Infinity, blockBytes);
      this.#pending.push(block);
      this.#pendingBytes += block.data.length;
      this.#next = block.end;
    }
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
    this.#pending = [];
    this.#pendingBytes = 0;
    try {
      while (this.#writing.length > 0) await this.#append();
    } catch (error) {
      this.#pending = [...this.#writing, ...this.#pending];
      this.#writing = [];
      this.#pendingBytes = this.#pending.reduce((sum, { data }) => sum + data.length, 0);
      throw error;
    }
  }

  /** Resolves when what is written outlives a power cut. */
  async sync(): Promise<void> {
    const active = this.#active;
    if (active === undefined || active.isSynced) return;
    active.isSynced = true;
    try {
      await active.handle.sync();
    } catch (error) {
      active.isSynced = false;
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#active?.handle.close();
    this.#active = undefined;
  }

  /** Segments that can be packed. */
  get raw(): readonly Segment[] {
    return this.#segments.filter(({ kind }) => kind === 'raw');
  }

  /** Replaces a raw segment with what `pack` makes of it. Throws what that throws; then the raw one stays. */
  async pack(raw: Segment, pack: (from: string, to: string) => Promise<number>): Promise<void> {
    const file = packedFile(this.#dir, raw);
    const isHere = (): boolean => this.#segments.includes(raw);
    try {
      const bytes = await pack(raw.file, file);
      if (isHere()) this.#segments[this.#segments.indexOf(raw)] = { ...raw, kind: 'packed', file, bytes };
      else await this.#files.remove(file);
      await this.#files.remove(raw.file);
    } catch (error) {
      // One that was dropped meanwhile cannot be packed, and need not be.
      if (!isHere()) return;
      // Rather a hole at the old end than at the new one.
      if (this.raw.length >= maxRaw) await this.drop();
      throw error;
    }
  }

  /** Gives up the oldest segment; false when there is none but the one that is being written. */
  async drop(): Promise<boolean> {
    const oldest = this.#segments.shift();
    if (oldest === undefined) return false;
    await this.#files.remove(oldest.file);
    return true;
  }

  /** The first lines whose number is `sequence` or higher, a block of them; undefined when none are here. */
  async linesFrom(sequence: number): Promise<LineBlock | undefined> {
    let wanted = sequence;
    for (;;) {
      const place = await this.#find((info) => info.to > wanted);
      if (place === undefined) break;
      const block = await this.#reader.read(place.file, place.entry);
      if (block !== undefined && block.end > wanted) return block;
      // Packed or dropped since it was looked up; if not, it cannot be read and is as good as missing.
      if (this.#isHere(place.file)) wanted = place.entry.to;
    }
    return this.#inMemory.find((block) => block.end > wanted);
  }

  /** The last lines whose number is below `sequence`, a block of them; undefined when none are here. */
  async linesBefore(sequence: number): Promise<LineBlock | undefined> {
    const inMemory = this.#inMemory.findLast((block) => block.sequence < sequence);
    if (inMemory !== undefined) return inMemory;
    let wanted = sequence;
    for (;;) {
      const place = await this.#findLast(wanted);
      if (place === undefined) return undefined;
      const block = await this.#reader.read(place.file, place.entry);
      if (block !== undefined && block.sequence < wanted) return block;
      if (this.#isHere(place.file)) wanted = place.entry.from;
    }
  }

  /** The first number of the first block that may have such lines; undefined when none here has. */
  async find({ sinceMs, run }: Start): Promise<number | undefined> {
    const isWanted = ({ latestMs, lastRun }: Pick<BlockInfo, 'latestMs' | 'lastRun'>): boolean =>
      latestMs >= (sinceMs ?? -Infinity) && lastRun >= (run ?? 0);
    const place = await this.#find(isWanted);
    return place?.entry.from ?? this.#inMemory.find((block) => isWanted(summaryOf(block)))?.sequence;
  }

  get #inMemory(): readonly LineBlock[] {
    return [...this.#writing, ...this.#pending];
  }

  #isHere(file: string): boolean {
    return this.#active?.file === file || this.#segments.some((segment) => segment.file === file);
  }

  async #find(isWanted: (info: BlockInfo) => boolean): Promise<{ file: string; entry: Entry } | undefined> {
    for (const segment of [...this.#segments]) {
      if (!isWanted(segment)) continue;
      const entry = (await this.#reader.entries(segment.file)).find(isWanted);
      if (entry !== undefined) return { file: segment.file, entry };
    }
    const active = this.#active;
    const entry = active?.entries.find(isWanted);
    return active === undefined || entry === undefined ? undefined : { file: active.file, entry };
  }

  async #findLast(sequence: number): Promise<{ file: string; entry: Entry } | undefined> {
    const active = this.#active;
    const entry = active?.entries.findLast(({ from }) => from < sequence);
    if (active !== undefined && entry !== undefined) return { file: active.file, entry };
    for (const segment of [...this.#segments].reverse()) {
      if (segment.from >= sequence) continue;
      const entry = (await this.#reader.entries(segment.file)).findLast(({ from }) => from < sequence);
      if (entry !== undefined) return { file: segment.file, entry };
    }
    return undefined;
  }

  /** Writes as much of what is to be written as the segment has room for. */
  async #append(): Promise<void> {
    const active = (this.#active ??= await this.#begin(this.#writing[0]?.sequence ?? 0));
    const blocks: (readonly [Buffer, ...Buffer[]])[] = [];
    let end = active.bytes;
    for (const block of this.#writing) {
      const parts = encodeBlock(block, false);
      blocks.push(parts);
      end += lengthOf(parts);
      if (end >= this.#segmentBytes) break;
    }
    active.isSynced = false;
    try {
      await active.handle.write(blocks.flat(), active.bytes);
    } catch (error) {
      // What is behind the end must not be taken for a block when another end is written over it.
      await active.handle.truncate(active.bytes).catch(() => undefined);
      throw error;
    }
    for (const parts of blocks) {
      addEntry(active.entries, { ...headerOf(parts[0], 0), offset: active.bytes });
      active.bytes += lengthOf(parts);
    }
    this.#writing = this.#writing.slice(blocks.length);
    if (active.bytes >= this.#segmentBytes) await this.#seal(active);
  }

  async #begin(from: number): Promise<Active> {
    const file = rawFile(this.#dir, from);
    return { file, handle: await this.#files.open(file), entries: [], bytes: 0, isSynced: true };
  }

  async #seal({ file, handle, entries }: Active): Promise<void> {
    const info = infoOf(entries);
    if (info !== undefined) this.#segments.push({ kind: 'raw', file, ...info });
    this.#active = undefined;
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  /** Takes up a raw segment of an earlier start: goes on with the last one, unless it is full. */
  async #openRaw(from: number): Promise<void> {
    const file = rawFile(this.#dir, from);
    // Packed already, and there was no time left to remove it.
    if (this.#segments.some((segment) => segment.from === from)) return this.#files.remove(file);
    const before = this.#active;
    if (before !== undefined) await this.#seal(before);
    const bytes = await this.#files.readAll(file);
    const { entries, validBytes } = scanSegment(bytes);
    if (entries.length === 0) return this.#files.remove(file);
    const handle = await this.#files.open(file);
    if (validBytes < bytes.length) await handle.truncate(validBytes);
    this.#active = { file, handle, entries, bytes: validBytes, isSynced: false };
  }

  /** Gives up what was taken of the lines before number `end`. */
  #leaveOut(end: number): void {
    this.#next = Math.max(this.#next, end);
    this.#pending = this.#pending.filter((block) => block.end > end).map((block) => block.from(end));
    this.#pendingBytes = this.#pending.reduce((sum, { data }) => sum + data.length, 0);
  }

  /** The numbers have begun anew, so the node's state was taken away but for this: its lines are of another node. */
  async #forget(): Promise<void> {
    const active = this.#active;
    await this.close();
    for (const { file } of this.#segments.splice(0)) await this.#files.remove(file);
    if (active !== undefined) await this.#files.remove(active.file);
  }
}

/** Whether an error says that the disk, or the user's share of it, is full. */
export const isFull = (error: unknown): boolean => ['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '');
