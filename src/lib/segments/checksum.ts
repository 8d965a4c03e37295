import { crc32 } from 'node:zlib';
import { copyBytes } from '../ring/copy-bytes.js';
import { again, aligned, block, get, leaveIf, load, loop, number, op, set, simd, type } from '../wasm.js';

/**
 * The checksum of a block on disk, over bytes that are filled up with zeros to a multiple of 16. As little-endian words
 * of 32 bits they are dealt out to four lanes in turn. Each lane sums its words up, and sums up what that sum is after
 * each of them, both modulo 2^64, as in J. G. Fletcher, "An Arithmetic Checksum for Serial Transmissions" (1982): the
 * second sum tells where a word stood. The checksum is the CRC-32 of the eight sums. A change of one or two words
 * of a block changes a sum for certain.
 */
export type Checksum = (bytes: Uint8Array) => number;

const stepBytes = 16;
/** The first sums of the four lanes and then the second ones, 8 bytes each. */
const sumsBytes = 64;

const pages = 2;
const pageBytes = 65_536;
/** The most that is summed up in one go. */
const chunkBytes = pages * pageBytes - sumsBytes;

/** The function's parameter and its variables; each pair of sums is of two lanes. */
const [bytesEnd, place, words, first01, first23, second01, second23] = [0, 1, 2, 3, 4, 5, 6];

const loadAll = [...simd(0x00), ...aligned(0)];
const storeAll = [...simd(0x0b), ...aligned(0)];
const add64 = simd(0xce);
/** Two words of four as numbers of 64 bits. */
const lower = simd(0xc9);
const upper = simd(0xca);
const sums = [first01, first23, second01, second23];

const code = [
  ...sums.flatMap((sum, i) => [...number(i * stepBytes), ...loadAll, ...set(sum)]),
  ...[...number(sumsBytes), ...set(place)],
  // while (place < bytesEnd) {
  ...[...block, ...loop, ...get(place), ...get(bytesEnd), op.atLeast, ...leaveIf],
  ...[...get(place), ...loadAll, ...set(words)],
  //   first += words; second += first
  ...[...get(first01), ...get(words), ...lower, ...add64, ...set(first01)],
  ...[...get(first23), ...get(words), ...upper, ...add64, ...set(first23)],
  ...[...get(second01), ...get(first01), ...add64, ...set(second01)],
  ...[...get(second23), ...get(first23), ...add64, ...set(second23)],
  //   place += 16 }
  ...[...get(place), ...number(stepBytes), op.add, ...set(place), ...again, op.end, op.end],
  ...sums.flatMap((sum, i) => [...number(i * stepBytes), ...get(sum), ...storeAll]),
  ...get(place),
];

const program = {
  pages,
  variables: [type.i32, ...[words, ...sums].map(() => type.v128)],
  code,
};

/**
 * In WebAssembly: the 77 KB that 64 KiB of lines make on disk take it 5 µs, and the CRC-32 of all of them 14. Undefined
 * where the processor or a setting of V8 does not allow it.
 */
export function fastChecksum(): Checksum | undefined {
  const loaded = load(program);
  if (loaded === undefined) return undefined;
  const { memory, run } = loaded;
  const sums = Buffer.from(memory.buffer, 0, sumsBytes);
  const chunk = Buffer.from(memory.buffer, sumsBytes, chunkBytes);
  return (bytes) => {
    sums.fill(0);
    for (let done = 0; done < bytes.length; done += chunkBytes) {
      const part = bytes.subarray(done, done + chunkBytes);
      const end = Math.ceil(part.length / stepBytes) * stepBytes;
      copyBytes(chunk, 0, part);
      chunk.fill(0, part.length, end);
      run(sumsBytes + end);
    }
    return crc32(sums);
  };
}

/** The same without WebAssembly. */
export function plainChecksum(): Checksum {
  const sums = new BigUint64Array(sumsBytes / BigUint64Array.BYTES_PER_ELEMENT);
  return (bytes) => {
    const filled = new Uint8Array(Math.ceil(bytes.length / stepBytes) * stepBytes);
    filled.set(bytes);
    sums.fill(0n);
    for (const [i, word] of new Uint32Array(filled.buffer).entries()) {
      const [first, second] = [i % 4, 4 + (i % 4)];
      sums[first] = (sums[first] ?? 0n) + BigInt(word);
      sums[second] = (sums[second] ?? 0n) + (sums[first] ?? 0n);
    }
    return crc32(new Uint8Array(sums.buffer));
  };
}

/** The faster one that there is. */
export const checksum: Checksum = fastChecksum() ?? plainChecksum();
