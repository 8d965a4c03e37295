import path from 'node:path';
import * as v from 'valibot';
import type { BlockInfo } from '../../lib/segments/block.js';
import type { SegmentFiles } from './segment-files.js';

/** So many segments are told apart; of what was dropped before them it is known that it was there. */
const maxRanges = 64;

const rangesFile = v.array(
  v.object({ from: v.number(), to: v.number(), latestMs: v.number(), lastRun: v.number() }),
);
type Range = Omit<BlockInfo, 'bytes'>;

/** The name of the file in a log's folder. */
export const droppedName = 'dropped.json';

/** What a log has given up for the budget, so that who asks for a part of it hears that it is gone. */
export class Dropped {
  readonly #file: string;
  readonly #files: SegmentFiles;
  /** Oldest first. */
  #ranges: Range[] = [];
  #isSaved = true;

  constructor(dir: string, files: SegmentFiles) {
    this.#file = path.join(dir, droppedName);
    this.#files = files;
  }

  /** Takes up what an earlier logs worker has saved. Throws what the disk throws; a file that says nothing is none. */
  async load(): Promise<void> {
    const bytes = await this.#files.readAll(this.#file);
    try {
      this.#ranges = v.parse(rangesFile, JSON.parse(bytes.toString()));
    } catch {
      this.#ranges = [];
    }
  }

  /** Notes a segment, which is behind all that were noted before. */
  add({ from, to, latestMs, lastRun }: BlockInfo): void {
    this.#ranges.push({ from, to, latestMs, lastRun });
    this.#isSaved = false;
    const [first, second] = this.#ranges;
    if (this.#ranges.length <= maxRanges || first === undefined || second === undefined) return;
    this.#ranges.splice(0, 2, {
      from: first.from,
      to: second.to,
      latestMs: Math.max(first.latestMs, second.latestMs),
      lastRun: Math.max(first.lastRun, second.lastRun),
    });
  }

  /** The number of the first line that may have been wanted; undefined when none was. */
  find(isWanted: (info: Pick<BlockInfo, 'latestMs' | 'lastRun'>) => boolean): number | undefined {
    return this.#ranges.find(isWanted)?.from;
  }

  /** Writes down what is new. Throws what the disk throws. */
  async save(): Promise<void> {
    if (this.#isSaved) return;
    this.#isSaved = true;
    try {
      await this.#files.replace(this.#file, JSON.stringify(this.#ranges));
    } catch (error) {
      this.#isSaved = false;
      throw error;
    }
  }

  /** Forgets all of it. */
  async clear(): Promise<void> {
    this.#ranges = [];
    this.#isSaved = true;
    await this.#files.remove(this.#file);
  }
}
