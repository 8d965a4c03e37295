import path from 'node:path';
import type { LineBlock } from '../../lib/ring/block.js';
import { encodeBlock, headerOf, type BlockInfo } from '../../lib/segments/block.js';
import { addEntry, scanSegment, type Entry } from '../../lib/segments/segment.js';
import { Dropped, droppedName } from './dropped.js';
import type { OpenSegment, SegmentFiles } from './segment-files.js';
import { infoOf, packedFile, parseName, rawFile, SegmentReader, type Segment } from './segment.js';

/**
 * A log that fills so many segments in so short a time, 64 MiB a second, writes faster than can be packed; the processor
 * is better spent on reading what it writes.
 */
const flood = { segments: 4, ms: 250 } as const;

/** The segment that is being written. */
interface Active {
  readonly file: string;
  readonly handle: OpenSegment;
  readonly entries: Entry[];
  bytes: number;
  isSynced: boolean;
}

/** Where a block lies. */
interface Place {
  readonly file: string;
  readonly entry: Entry;
}

export interface SegmentsOptions {
  readonly dir: string;
  readonly files: SegmentFiles;
  /** A raw segment is closed when it is so large. */
  readonly segmentBytes: number;
}

/** The segments of one log: packed ones, raw ones that can be packed, and the one that is being written. */
export class Segments {
  /** What was here and is not any more. */
  readonly dropped: Dropped;
  readonly #dir: string;
  readonly #files: SegmentFiles;
  readonly #segmentBytes: number;
  readonly #reader: SegmentReader;
  /** Oldest first. */
  readonly #closed: Segment[] = [];
  #active: Active | undefined;
  /** When the last segments were filled, monotonic milliseconds. */
  readonly #filledMs: number[] = [];

  constructor({ dir, files, segmentBytes }: SegmentsOptions) {
    this.#dir = dir;
    this.#files = files;
    this.#segmentBytes = segmentBytes;
    this.#reader = new SegmentReader(files);
    this.dropped = new Dropped(dir, files);
  }

  /**
   * Finds what is there, and cuts off what was not written to its end. Gives the number behind the last line.
   * Throws what the disk throws.
   */
  async open(): Promise<number> {
    await this.close();
    this.#closed.length = 0;
    const raws: number[] = [];
    for (const { name, bytes } of await this.#files.list(this.#dir)) {
      if (name === droppedName) {
        await this.dropped.load();
        continue;
      }
      const found = parseName(this.#dir, name, bytes);
      if (found === undefined) await this.#files.remove(path.join(this.#dir, name));
      else if (found.kind === 'raw') raws.push(found.from);
      else this.#closed.push(found);
    }
    for (const from of raws.sort((a, b) => a - b)) await this.#openRaw(from);
    this.#closed.sort((a, b) => a.from - b.from);
    return Math.max(this.#active?.entries.at(-1)?.to ?? 0, ...this.#closed.map(({ to }) => to));
  }

  /** Ends the writing; what is there can still be read. */
  async close(): Promise<void> {
    await this.#active?.handle.close();
    this.#active = undefined;
  }

  /** Takes all of it away. */
  async clear(): Promise<void> {
    const active = this.#active;
    await this.close();
    for (const { file } of this.#closed.splice(0)) await this.#files.remove(file);
    if (active !== undefined) await this.#files.remove(active.file);
    await this.dropped.clear();
  }

  /** What all of it takes on disk. */
  get bytes(): number {
    return this.#closed.reduce((sum, { bytes }) => sum + bytes, this.#active?.bytes ?? 0);
  }

  /** The highest run on disk; 0 when there is none. */
  get lastRun(): number {
    return Math.max(0, ...[...this.#closed, ...(this.#active?.entries ?? [])].map(({ lastRun }) => lastRun));
  }

  /**
   * Segments that can be packed at `nowMs` (monotonic): none during a flood, and none of those that may turn out to be
   * the beginning of one.
   */
  packable(nowMs: number): readonly Segment[] {
    const young = this.#filledSince(nowMs - flood.ms);
    if (young === flood.segments) return [];
    const raw = this.#closed.filter(({ kind }) => kind === 'raw');
    return raw.slice(0, Math.max(0, raw.length - young));
  }

  /** Whether more is written at `nowMs` (monotonic) than can be packed. */
  isFlooded(nowMs: number): boolean {
    return this.#filledSince(nowMs - flood.ms) === flood.segments;
  }

  /** How many of the last `flood.segments` segments were filled later than that. */
  #filledSince(sinceMs: number): number {
    return this.#filledMs.filter((ms) => ms > sinceMs).length;
  }

  /**
   * Writes as many of these blocks as the segment has room for, and gives their number. Throws what the disk throws;
   * then none of them counts as written.
   */
  async append(lines: readonly LineBlock[]): Promise<number> {
    const active = (this.#active ??= await this.#begin(lines[0]?.sequence ?? 0));
    const blocks: Buffer[] = [];
    let end = active.bytes;
    for (const block of lines) {
      const bytes = encodeBlock(block, false);
      blocks.push(bytes);
      end += bytes.length;
      if (end >= this.#segmentBytes) break;
    }
    active.isSynced = false;
    try {
      await active.handle.write(blocks, active.bytes);
    } catch (error) {
      // What is behind the end must not be taken for a block when another end is written over it.
      await active.handle.truncate(active.bytes).catch(() => undefined);
      throw error;
    }
    for (const bytes of blocks) {
      addEntry(active.entries, { ...headerOf(bytes, 0), offset: active.bytes });
      active.bytes += bytes.length;
    }
    return blocks.length;
  }

  /** Closes the segment that is being written if it is full, and says whether it was. */
  async closeFull(): Promise<boolean> {
    if (this.#active === undefined || this.#active.bytes < this.#segmentBytes) return false;
    this.#filledMs.push(performance.now());
    if (this.#filledMs.length > flood.segments) this.#filledMs.shift();
    await this.#seal(this.#active);
    return true;
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

  /** Replaces a raw segment with what `pack` makes of it. Throws what that throws; then the raw one stays. */
  async pack(raw: Segment, pack: (from: string, to: string) => Promise<number>): Promise<void> {
    const file = packedFile(this.#dir, raw);
    const isHere = (): boolean => this.#closed.includes(raw);
    try {
      const bytes = await pack(raw.file, file);
      if (isHere()) this.#closed[this.#closed.indexOf(raw)] = { ...raw, kind: 'packed', file, bytes };
      else await this.#files.remove(file);
      await this.#files.remove(raw.file);
    } catch (error) {
      // One that was dropped meanwhile cannot be packed, and need not be.
      if (!isHere()) return;
      throw error;
    }
  }

  /** Gives up the oldest segment; false when there is none but the one that is being written. */
  async drop(): Promise<boolean> {
    const oldest = this.#closed.shift();
    if (oldest === undefined) return false;
    this.dropped.add(oldest);
    await this.#files.remove(oldest.file);
    return true;
  }

  /** The first lines whose number is `sequence` or higher, a block of them; undefined when none are on disk. */
  async linesFrom(sequence: number): Promise<LineBlock | undefined> {
    let wanted = sequence;
    for (;;) {
      const place = await this.find((info) => info.to > wanted);
      if (place === undefined) return undefined;
      const block = await this.#reader.read(place.file, place.entry);
      if (block !== undefined && block.end > wanted) return block;
      // Packed or dropped since it was looked up; if not, it cannot be read and is as good as missing.
      if (this.#isHere(place.file)) wanted = place.entry.to;
    }
  }

  /** The last lines whose number is below `sequence`, a block of them; undefined when none are on disk. */
  async linesBefore(sequence: number): Promise<LineBlock | undefined> {
    let wanted = sequence;
    for (;;) {
      const place = await this.#findLast(wanted);
      if (place === undefined) return undefined;
      const block = await this.#reader.read(place.file, place.entry);
      if (block !== undefined && block.sequence < wanted) return block;
      if (this.#isHere(place.file)) wanted = place.entry.from;
    }
  }

  /** The first block that may be wanted; `isWanted` is asked of whole segments too. */
  async find(isWanted: (info: BlockInfo) => boolean): Promise<Place | undefined> {
    for (const segment of [...this.#closed]) {
      if (!isWanted(segment)) continue;
      const entry = (await this.#reader.entries(segment.file)).find(isWanted);
      if (entry !== undefined) return { file: segment.file, entry };
    }
    const active = this.#active;
    const entry = active?.entries.find(isWanted);
    return active === undefined || entry === undefined ? undefined : { file: active.file, entry };
  }

  async #findLast(sequence: number): Promise<Place | undefined> {
    const active = this.#active;
    const entry = active?.entries.findLast(({ from }) => from < sequence);
    if (active !== undefined && entry !== undefined) return { file: active.file, entry };
    for (const segment of [...this.#closed].reverse()) {
      if (segment.from >= sequence) continue;
      const entry = (await this.#reader.entries(segment.file)).findLast(({ from }) => from < sequence);
      if (entry !== undefined) return { file: segment.file, entry };
    }
    return undefined;
  }

  #isHere(file: string): boolean {
    return this.#active?.file === file || this.#closed.some((segment) => segment.file === file);
  }

  async #begin(from: number): Promise<Active> {
    const file = rawFile(this.#dir, from);
    return { file, handle: await this.#files.open(file), entries: [], bytes: 0, isSynced: true };
  }

  async #seal({ file, handle, entries }: Active): Promise<void> {
    const info = infoOf(entries);
    if (info !== undefined) this.#closed.push({ kind: 'raw', file, ...info });
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
    if (this.#closed.some((segment) => segment.from === from)) return this.#files.remove(file);
    if (this.#active !== undefined) await this.#seal(this.#active);
    const bytes = await this.#files.readAll(file);
    const { entries, validBytes } = scanSegment(bytes);
    if (entries.length === 0) return this.#files.remove(file);
    const handle = await this.#files.open(file);
    try {
      if (validBytes < bytes.length) await handle.truncate(validBytes);
    } catch (error) {
      await handle.close();
      throw error;
    }
    this.#active = { file, handle, entries, bytes: validBytes, isSynced: false };
  }
}
