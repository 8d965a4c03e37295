import { copyBytes } from './ring/copy-bytes.js';
import { again, aligned, block, get, leaveIf, load, loop, number, op, set, simd, type } from './wasm.js';

/** Finds where the lines of a block end. */
export interface LineEnds {
  /**
   * Finds the newlines among the first `length` bytes, of which there may be `maxBlockBytes`, and gives how many there
   * are: so many entries of `ends` are then the places behind them, in order, until the next call. What follows the
   * first `length` bytes, up to the next multiple of 16, must be no newline.
   */
  find(bytes: Uint8Array, length: number): number;
  readonly ends: Uint32Array;
}

/** The most that can be searched at once: a page of WebAssembly's memory. */
export const maxBlockBytes = 65_536;

const newline = 10;

/** What one instruction compares. */
const stepBytes = 16;

/** The function's parameter and its variables, all of them i32. */
const [length, place, found, mask] = [0, 1, 2, 3];

const code = [
  // found = where the ends begin
  ...[...number(maxBlockBytes), ...set(found)],
  // while (place < length) {
  ...[...block, ...loop, ...get(place), ...get(length), op.atLeast, ...leaveIf],
  //   mask = a bit for each of the 16 bytes at `place`: v128.load, i8x16.splat, i8x16.eq, i8x16.bitmask
  ...[...get(place), ...simd(0x00), ...aligned(0)],
  ...[...number(newline), ...simd(0x0f), ...simd(0x23), ...simd(0x64)],
  ...set(mask),
  //   while (mask != 0) {
  ...[...block, ...loop, ...get(mask), op.isZero, ...leaveIf],
  //     store at `found`: place + (number of the mask's lowest bit) + 1
  ...[...get(found), ...get(place), ...get(mask), op.trailingZeros, op.add, ...number(1), op.add],
  ...[0x36, ...aligned(2)],
  //     found += 4; mask &= mask - 1
  ...[...get(found), ...number(4), op.add, ...set(found)],
  ...[...get(mask), ...get(mask), ...number(1), op.subtract, op.and, ...set(mask)],
  //   }
  ...[...again, op.end, op.end],
  //   place += 16 }
  ...[...get(place), ...number(stepBytes), op.add, ...set(place), ...again, op.end, op.end],
  // return (found - where the ends begin) / 4
  ...[...get(found), ...number(maxBlockBytes), op.subtract, ...number(2), op.shiftRight],
];

/** A page for the bytes, and behind it an end for each of them. */
const program = { pages: 5, variables: [type.i32, type.i32, type.i32], code };

/**
 * A search that compares 16 bytes at a time, in WebAssembly: 64 KiB of lines of 120 bytes take it 6 µs, and
 * `Buffer.indexOf` for each of them 28. Undefined where the processor or a setting of V8 does not allow it.
 */
export function fastLineEnds(): LineEnds | undefined {
  const loaded = load(program);
  if (loaded === undefined) return undefined;
  const { memory, run } = loaded;
  const bytes = Buffer.from(memory.buffer, 0, maxBlockBytes);
  return {
    ends: new Uint32Array(memory.buffer, maxBlockBytes),
    find(block, length) {
      copyBytes(bytes, 0, block.subarray(0, Math.ceil(length / stepBytes) * stepBytes));
      return run(length);
    },
  };
}

/** The same without WebAssembly. */
export function plainLineEnds(): LineEnds {
  const ends = new Uint32Array(maxBlockBytes);
  return {
    ends,
    find(block, length) {
      let count = 0;
      for (
        let end = block.indexOf(newline);
        end !== -1 && end < length;
        end = block.indexOf(newline, end + 1)
      ) {
        ends[count] = end + 1;
        count += 1;
      }
      return count;
    },
  };
}
