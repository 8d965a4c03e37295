import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib';
import { LineBlock } from '../ring/block.js';
import { bytesOf } from '../ring/copy-bytes.js';
import { lineWords } from '../ring/memory.js';
import { checksum, type Checksum } from './checksum.js';

/**
 * Lines of one log as they lie on disk: a header, and behind it the index and the bytes of a LineBlock. All numbers
 * are little-endian.
 *
 *     magic u32, checksum u32, stored u32, unpacked u32, count u32, sequence f64, latest f64, run u32, codec u32
 *
 * The checksum is of everything behind it, so that what a power cut leaves of a write is told from a block; the magic
 * number says which it is. `latest` is the latest time of arrival in it and `run` the highest run, for whoever looks for a
 * line by these. `stored` bytes follow the header; they are `unpacked` bytes of index and lines.
 */
export const headerBytes = 44;

/** "HLB3", that blocks are written with. */
const magic = 0x33_42_4c_48;
/** What each kind of block has as its checksum; "HLB2" is of earlier versions, with the CRC-32 of gzip (RFC 1952). */
const checksums: ReadonlyMap<number, Checksum> = new Map([
  [magic, checksum],
  [0x32_42_4c_48, crc32],
]);
const at = {
  magic: 0,
  checksum: 4,
  stored: 8,
  unpacked: 12,
  count: 16,
  sequence: 20,
  latest: 28,
  run: 36,
  codec: 40,
} as const;
const codec = { none: 0, deflate: 1 } as const;

/** Blocks are made of about so many bytes of lines: what a reader holds, and more makes them hardly smaller. */
export const blockBytes = 64 * 1024;

/** No block is larger, so that a damaged length asks for no memory: 64 KiB of empty lines and their index. */
const maxUnpackedBytes = 4 * 1024 * 1024;

/** zlib's levels above save a tenth of the size of a node's logs, for half the speed. */
const deflateLevel = 3;

/** What a block's header tells. */
export interface BlockInfo {
  /** The numbers of its first line and of the line behind its last. */
  readonly from: number;
  readonly to: number;
  /** The latest time of arrival, milliseconds since the epoch, and the highest run. */
  readonly latestMs: number;
  readonly lastRun: number;
  /** Its whole length on disk. */
  readonly bytes: number;
}

/**
 * The bytes of a block, as it is or packed. One whose index and lines lie behind room for a header is not copied; the
 * header is written into that room.
 */
export function encodeBlock(block: LineBlock, packed: boolean): Buffer {
  const index = packed ? deltasOf(block.index) : block.index;
  const unpacked = index.byteLength + block.data.length;
  const { latestMs, lastRun } = block.summary();
  const bytes = packed ? pack(index, block.data) : withHeader(index, block.data);
  const header = bytes.subarray(0, headerBytes);
  header.writeUInt32LE(magic, at.magic);
  header.writeUInt32LE(bytes.length - headerBytes, at.stored);
  header.writeUInt32LE(unpacked, at.unpacked);
  header.writeUInt32LE(block.count, at.count);
  header.writeDoubleLE(block.sequence, at.sequence);
  header.writeDoubleLE(latestMs, at.latest);
  header.writeUInt32LE(lastRun, at.run);
  header.writeUInt32LE(packed ? codec.deflate : codec.none, at.codec);
  header.writeUInt32LE(checksum(checked(bytes)), at.checksum);
  return bytes;
}

function pack(index: Readonly<Uint32Array<ArrayBuffer>>, data: Buffer): Buffer {
  const payload = Buffer.concat([bytesOf(index), data]);
  return Buffer.concat([Buffer.alloc(headerBytes), deflateRawSync(payload, { level: deflateLevel })]);
}

/** Index and lines with room for a header in front of them. */
function withHeader(index: Readonly<Uint32Array<ArrayBuffer>>, data: Buffer): Buffer {
  const length = headerBytes + index.byteLength + data.length;
  const isInPlace =
    index.buffer === data.buffer &&
    index.byteOffset === headerBytes &&
    data.byteOffset === headerBytes + index.byteLength;
  return isInPlace
    ? Buffer.from(index.buffer, 0, length)
    : Buffer.concat([Buffer.alloc(headerBytes), bytesOf(index), data], length);
}

/** What the header of the block at `offset` says; nothing is checked. */
export function headerOf(bytes: Buffer, offset: number): BlockInfo {
  const from = bytes.readDoubleLE(offset + at.sequence);
  return {
    from,
    to: from + bytes.readUInt32LE(offset + at.count),
    latestMs: bytes.readDoubleLE(offset + at.latest),
    lastRun: bytes.readUInt32LE(offset + at.run),
    bytes: headerBytes + bytes.readUInt32LE(offset + at.stored),
  };
}

/** The header of the block that begins at `offset`, if it is whole; else undefined. */
export function readBlock(bytes: Buffer, offset: number): BlockInfo | undefined {
  if (bytes.length - offset < headerBytes) return undefined;
  const checksumOf = checksums.get(bytes.readUInt32LE(offset));
  if (checksumOf === undefined) return undefined;
  const info = headerOf(bytes, offset);
  if (info.bytes > bytes.length - offset) return undefined;
  const block = bytes.subarray(offset, offset + info.bytes);
  return checksumOf(checked(block)) === block.readUInt32LE(at.checksum) ? info : undefined;
}

/** The lines of a block that `readBlock` has found at `offset`. */
export function decodeBlock(
  bytes: Buffer,
  offset: number,
  { from, to, bytes: length }: BlockInfo,
): LineBlock {
  const block = bytes.subarray(offset, offset + length);
  const payload = block.subarray(headerBytes);
  const isPacked = block.readUInt32LE(at.codec) === codec.deflate;
  const unpacked = isPacked ? inflateRawSync(payload, { maxOutputLength: maxUnpackedBytes }) : payload;
  const count = to - from;
  const index = new Uint32Array((count + 1) * lineWords);
  const indexBytes = Buffer.from(index.buffer);
  unpacked.copy(indexBytes);
  if (isPacked) fromDeltas(index);
  const data = Buffer.allocUnsafeSlow(unpacked.length - indexBytes.length);
  unpacked.copy(data, 0, indexBytes.length);
  return new LineBlock(from, count, index, data);
}

/** Lines that follow each other, as blocks of about `blockBytes`. Gives the first block alone where a line is missing. */
export function* joinBlocks(blocks: Iterable<LineBlock>): Generator<LineBlock, void> {
  let waiting: LineBlock[] = [];
  let bytes = 0;
  for (const block of blocks) {
    const last = waiting.at(-1);
    const follows = last === undefined || last.sequence + last.count === block.sequence;
    if (!follows || bytes + block.data.length > blockBytes) {
      if (waiting.length > 0) yield LineBlock.join(waiting);
      waiting = [];
      bytes = 0;
    }
    waiting.push(block);
    bytes += block.data.length;
  }
  if (waiting.length > 0) yield LineBlock.join(waiting);
}

/** What of a block its checksum is of. */
const checked = (block: Buffer): Buffer => block.subarray(at.stored);

/** One line's index is much like the next one's: as differences it is mostly zeros, which pack to next to nothing. */
function deltasOf(index: Readonly<Uint32Array>): Uint32Array<ArrayBuffer> {
  return index.map((word, i) => (i < lineWords ? word : word - (index[i - lineWords] ?? 0)));
}

function fromDeltas(index: Uint32Array): void {
  for (let i = lineWords; i < index.length; i += 1) {
    index[i] = (index[i] ?? 0) + (index[i - lineWords] ?? 0);
  }
}
