import { copyBytes } from './ring/copy-bytes.js';

/** As much of WebAssembly's interface as is used here: TypeScript has it only together with the DOM. */
interface WebAssembly {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => {
    readonly exports: {
      readonly memory: { readonly buffer: ArrayBuffer };
      readonly find: (length: number) => number;
    };
  };
}
const { WebAssembly } = globalThis as unknown as { readonly WebAssembly?: WebAssembly };

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

// The binary format and the numbers of the instructions: https://webassembly.github.io/spec/core/binary/
const [i32, noResult] = [0x7f, 0x40];
/** The function's parameter and its variables. */
const [length, place, found, mask] = [0, 1, 2, 3];
const get = (variable: number): number[] => [0x20, variable];
const set = (variable: number): number[] => [0x21, variable];
const number = (small: number): number[] => [0x41, small];
const simd = (instruction: number): number[] => [0xfd, instruction];
const [add, subtract, and, shiftRight, trailingZeros, isZero, atLeast] = [
  0x6a, 0x6b, 0x71, 0x76, 0x68, 0x45, 0x4f,
];
const block = [0x02, noResult];
const loop = [0x03, noResult];
const leaveIf = [0x0d, 1];
const again = [0x0c, 0];
const end = 0x0b;
/** 65,536, behind the bytes (LEB128). */
const endsPlace = [0x41, 0x80, 0x80, 0x04];

const code = [
  // found = where the ends begin
  ...[...endsPlace, ...set(found)],
  // while (place < length) {
  ...[...block, ...loop, ...get(place), ...get(length), atLeast, ...leaveIf],
  //   mask = a bit for each of the 16 bytes at `place`: v128.load, i8x16.splat, i8x16.eq, i8x16.bitmask
  ...[...get(place), ...simd(0x00), 0, 0, ...number(newline), ...simd(0x0f), ...simd(0x23), ...simd(0x64)],
  ...set(mask),
  //   while (mask != 0) {
  ...[...block, ...loop, ...get(mask), isZero, ...leaveIf],
  //     store at `found`: place + (number of the mask's lowest bit) + 1
  ...[...get(found), ...get(place), ...get(mask), trailingZeros, add, ...number(1), add, 0x36, 2, 0],
  //     found += 4; mask &= mask - 1
  ...[...get(found), ...number(4), add, ...set(found)],
  ...[...get(mask), ...get(mask), ...number(1), subtract, and, ...set(mask)],
  //   }
  ...[...again, end, end],
  //   place += 16 }
  ...[...get(place), ...number(stepBytes), add, ...set(place), ...again, end, end],
  // return (found - where the ends begin) / 4
  ...[...get(found), ...endsPlace, subtract, ...number(2), shiftRight, end],
];

const text = (string: string): number[] => [string.length, ...Buffer.from(string)];
const section = (id: number, ...content: number[]): number[] => [id, ...size(content.length), ...content];
/** A length in LEB128. */
const size = (bytes: number): number[] => (bytes < 128 ? [bytes] : [(bytes & 127) | 128, bytes >> 7]);
const body = [1, 3, i32, ...code];

/** One function, `find(length)`, and a memory of five pages: one for the bytes, and behind it an end for each of them. */
const program = Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...section(1, 1, 0x60, 1, i32, 1, i32),
  ...section(3, 1, 0),
  ...section(5, 1, 0, 5),
  ...section(7, 2, ...text('memory'), 2, 0, ...text('find'), 0, 0),
  ...section(10, 1, ...size(body.length), ...body),
]);

/**
 * A search that compares 16 bytes at a time, in WebAssembly: 64 KiB of lines of 120 bytes take it 6 µs, and
 * `Buffer.indexOf` for each of them 28. Undefined where the processor or a setting of V8 does not allow it.
 */
export function fastLineEnds(): LineEnds | undefined {
  if (WebAssembly?.validate(program) !== true) return undefined;
  const { memory, find } = new WebAssembly.Instance(new WebAssembly.Module(program)).exports;
  const bytes = Buffer.from(memory.buffer, 0, maxBlockBytes);
  return {
    ends: new Uint32Array(memory.buffer, maxBlockBytes),
    find(block, length) {
      copyBytes(bytes, 0, block.subarray(0, Math.ceil(length / stepBytes) * stepBytes));
      return find(length);
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
