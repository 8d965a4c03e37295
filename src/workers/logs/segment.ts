import path from 'node:path';
import { errnoOf } from '../../lib/errors.js';
import { LineBlock } from '../../lib/ring/block.js';
import type { BlockInfo } from '../../lib/segments/block.js';
import { decodeBlocks, scanSegment, type Entry } from '../../lib/segments/segment.js';
import type { SegmentFiles } from './segment-files.js';

/**
 * A file of a log's lines. A raw one is written as the lines come, under the number of its first line; when it is large
 * enough it is packed, and then its name says all that one has to know of it without reading it:
 * FIRST-END-LATEST-RUN.packed, the number of its first line and of the one behind its last, the latest time of arrival,
 * and the highest run in it.
 */
export interface Segment extends BlockInfo {
  readonly kind: 'raw' | 'packed';
  readonly file: string;
}

/** The file of a segment that begins with line `from`. */
export const rawFile = (dir: string, from: number): string => path.join(dir, `${from}.raw`);

/** The file that a raw segment is packed into. */
export function packedFile(dir: string, { from, to, latestMs, lastRun }: BlockInfo): string {
  return path.join(dir, `${from}-${to}-${latestMs}-${lastRun}.packed`);
}

/** What a file's name says of it: a packed segment, or that it is a raw one. Undefined for what is none. */
export function parseName(
  dir: string,
  name: string,
  bytes: number,
): Segment | { readonly kind: 'raw'; readonly from: number } | undefined {
  const [, raw] = /^(\d+)\.raw$/.exec(name) ?? [];
  if (raw !== undefined) return { kind: 'raw', from: Number(raw) };
  const words = /^(\d+)-(\d+)-(\d+)-(\d+)\.packed$/.exec(name);
  if (words === null) return undefined;
  const [from = 0, to = 0, latestMs = 0, lastRun = 0] = words.slice(1).map(Number);
  return { kind: 'packed', file: path.join(dir, name), from, to, latestMs, lastRun, bytes };
}

/** What the blocks of a segment have in common; undefined when there are none. */
export function infoOf(entries: readonly Entry[]): BlockInfo | undefined {
  const [first] = entries;
  const last = entries.at(-1);
  if (first === undefined || last === undefined) return undefined;
  return {
    from: first.from,
    to: last.to,
    latestMs: Math.max(...entries.map(({ latestMs }) => latestMs)),
    lastRun: Math.max(...entries.map(({ lastRun }) => lastRun)),
    bytes: last.offset + last.bytes,
  };
}

/** So many segments' lists of blocks are kept, for those who read them block by block. */
const maxLists = 32;

/** Reads segments block by block. */
export class SegmentReader {
  readonly #files: SegmentFiles;
  readonly #lists = new Map<string, Promise<readonly Entry[]>>();

  constructor(files: SegmentFiles) {
    this.#files = files;
  }

  /** The blocks of a segment; none when the file is gone. */
  async entries(file: string): Promise<readonly Entry[]> {
    const known = this.#lists.get(file);
    if (known !== undefined) return known;
    // Others who want it meanwhile wait for the same bytes.
    const list = this.#scan(file);
    const [oldest] = this.#lists.keys();
    if (oldest !== undefined && this.#lists.size >= maxLists) this.#lists.delete(oldest);
    this.#lists.set(file, list);
    try {
      return await list;
    } catch (error) {
      if (this.#lists.get(file) === list) this.#lists.delete(file);
      throw error;
    }
  }

  async #scan(file: string): Promise<readonly Entry[]> {
    return scanSegment((await this.#unlessGone(this.#files.readAll(file))) ?? Buffer.alloc(0)).entries;
  }

  /** The lines of an entry; undefined when the file is gone, or not what it was. */
  async read(file: string, { offset, bytes }: Entry): Promise<LineBlock | undefined> {
    const data = await this.#unlessGone(this.#files.read(file, offset, bytes));
    const blocks = [...decodeBlocks(data ?? Buffer.alloc(0))];
    return blocks.length === 0 ? undefined : LineBlock.join(blocks);
  }

  async #unlessGone(read: Promise<Buffer>): Promise<Buffer | undefined> {
    try {
      return await read;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }
}
