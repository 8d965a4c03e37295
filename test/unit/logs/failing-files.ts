import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { packSegment } from '../../../src/lib/segments/segment.js';
import {
  segmentFiles,
  type OpenSegment,
  type SegmentFiles,
} from '../../../src/workers/logs/segment-files.js';

/** The end of the process, at the n-th thing that it does to the disk. */
export class Death extends Error {}

/** What a cut of the power makes of bytes that were written and not synced. */
export type Loss = 'none' | 'cut' | 'zeros' | 'garbage';

/** Real files, under a process that dies at the n-th step; a write is done by half then. */
export class FailingFiles implements SegmentFiles {
  steps = 0;
  readonly #stepsToLive: number;
  /** How much of each file is safe, and how much was written. */
  readonly #lengths = new Map<string, { synced: number; written: number }>();

  constructor(stepsToLive: number) {
    this.#stepsToLive = stepsToLive;
  }

  readonly list = (dir: string) => segmentFiles.list(dir);
  readonly readAll = (file: string) => segmentFiles.readAll(file);
  readonly replace = (file: string, data: string) => segmentFiles.replace(file, data);
  readonly read = (file: string, offset: number, bytes: number) => segmentFiles.read(file, offset, bytes);

  async open(file: string): Promise<OpenSegment> {
    this.#step();
    const handle = await segmentFiles.open(file);
    const lengths = { synced: 0, written: 0 };
    this.#lengths.set(file, lengths);
    return {
      write: async (parts, position) => {
        const bytes = Buffer.concat(parts);
        const isLast = this.steps + 1 === this.#stepsToLive;
        const part = isLast ? bytes.subarray(0, bytes.length >> 1) : bytes;
        await handle.write([part], position);
        lengths.written = position + part.length;
        this.#step();
      },
      truncate: async (bytes) => {
        this.#step();
        await handle.truncate(bytes);
        lengths.written = bytes;
      },
      sync: async () => {
        this.#step();
        await handle.sync();
        lengths.synced = lengths.written;
      },
      close: () => handle.close(),
    };
  }

  async remove(file: string): Promise<void> {
    this.#step();
    await segmentFiles.remove(file);
    this.#lengths.delete(file);
  }

  /** What the job does; a death in it leaves a temporary file. */
  async pack(from: string, to: string): Promise<number> {
    if (this.steps + 1 === this.#stepsToLive) {
      writeFileSync(path.join(path.dirname(to), `.${path.basename(to)}.tmp`), 'half of it');
    }
    this.#step();
    return packSegment({ from, to });
  }

  /** Takes what was not synced from the files, in a way that a file system might. */
  cutPower(loss: Loss): void {
    if (loss === 'none') return;
    for (const [file, { synced, written }] of this.#lengths) {
      const kept = synced + ((written - synced) >> 1);
      if (loss === 'cut') {
        truncateSync(file, Math.min(kept, readFileSync(file).length));
      } else {
        const bytes = readFileSync(file);
        for (let i = kept; i < bytes.length; i += 1) bytes[i] = loss === 'zeros' ? 0 : (i * 167) & 0xff;
        writeFileSync(file, bytes);
      }
    }
  }

  #step(): void {
    this.steps += 1;
    if (this.steps >= this.#stepsToLive) throw new Death();
  }
}
