import type { LineBlock, MakeRoom } from '../../lib/ring/block.js';
import { headerBytes } from '../../lib/segments/block.js';

/** Enough for a block of 64 KiB of lines that are 30 bytes long; longer indexes get memory of their own. */
const roomBytes = 128 * 1024;
/** A block that would leave most of that empty gets just what it needs: it may wait for a long time. */
const smallBytes = roomBytes / 4;
/** What a flood may leave here, and what is left of it when it is over. */
const maxSpare = 64;
const calmSpare = 8;

/**
 * Memory for the blocks that are on their way to the disk, used again and again: at half a gigabyte a second the
 * collector would otherwise be the busiest of all. In front of each block there is room for the header that it gets on
 * disk, so that it is written from where it lies.
 */
export class BlockPool {
  readonly #spare: ArrayBuffer[] = [];

  /** Room for a block; it has to be given back with `giveBack`, or is left to the collector. */
  readonly makeRoom: MakeRoom = (words, bytes) => {
    const start = headerBytes + words * Uint32Array.BYTES_PER_ELEMENT;
    const needed = start + bytes;
    const isPooled = needed > smallBytes && needed <= roomBytes;
    const spare = isPooled ? this.#spare.pop() : undefined;
    const memory = spare ?? new ArrayBuffer(isPooled ? roomBytes : needed);
    return { index: new Uint32Array(memory, headerBytes, words), data: Buffer.from(memory, start, bytes) };
  };

  /** Takes the memory of a block back that nobody reads any more. One that is from elsewhere is left alone. */
  giveBack({ index: { buffer } }: LineBlock): void {
    if (buffer.byteLength === roomBytes && this.#spare.length < maxSpare) this.#spare.push(buffer);
  }

  /** Gives up memory that only a flood needs. */
  trim(): void {
    this.#spare.splice(calmSpare);
  }
}
