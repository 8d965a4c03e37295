import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { errnoOf } from '../../lib/errors.js';
import { replaceFile } from '../../lib/files.js';
import type { LineBlock } from '../../lib/ring/block.js';
import { encodeBlock } from '../../lib/segments/block.js';
import { decodeBlocks } from '../../lib/segments/segment.js';

/**
 * Lines of a log that a full disk did not take before Hamlet was stopped, beside the pipes, where they are in memory: the
 * next Hamlet writes them when there is room. The file is a segment's.
 */
export class LeftLines {
  readonly #file: string;

  /** `dir` is the folder of the pipes. */
  constructor(dir: string, name: string) {
    this.#file = path.join(dir, `${name}.lines`);
  }

  /** Leaves them to the next Hamlet. Throws what writing a file throws. */
  leave(blocks: readonly LineBlock[]): void {
    replaceFile(this.#file, Buffer.concat(blocks.map((block) => encodeBlock(block, false))), 0o600);
  }

  /** What the last Hamlet has left, as far as it is whole. Throws what reading a file throws. */
  read(): LineBlock[] {
    try {
      return [...decodeBlocks(readFileSync(this.#file))];
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    }
  }

  /** To be called when they are on disk. */
  remove(): void {
    rmSync(this.#file, { force: true });
  }
}
