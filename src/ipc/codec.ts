import { Packr, Unpackr } from 'msgpackr';

/**
 * Modes of msgpackr's pack() that its types leave out: the next call writes over this one's result; and what is
 * returned is the whole buffer, with the result's bounds in `start` and `end`.
 */
const RESET_BUFFER_MODE = 1024;
const REUSE_BUFFER_MODE = 512;

/** pack() does not begin in the last 2 KiB of a buffer. */
export const MIN_ROOM_BYTES = 4 * 1024;

// Both ends need the same options: with records, one side's keys are the other side's numbers.
const packr = new Packr({ useRecords: false });
// A 64-bit integer is a number wherever one can hold it. (The mode is in msgpackr's code but not in its types.)
const reading = { useRecords: false, int64AsType: 'auto' as 'number' };
const unpackr = new Unpackr(reading);
const copyingUnpackr = new Unpackr({ ...reading, copyBuffers: true });

const EMPTY = Buffer.alloc(0);
const scratch = Buffer.allocUnsafeSlow(MIN_ROOM_BYTES);

/** What REUSE_BUFFER_MODE makes of pack()'s result. */
interface Packed extends Buffer {
  readonly start: number;
  readonly end: number;
}

/**
 * Writes the msgpack form of `value` into `target` from `at` on, where there must be MIN_ROOM_BYTES. Gives its
 * end; or, if there was not enough room, the bytes themselves, in a buffer of their own.
 * Throws what msgpackr throws for a value that has no msgpack form.
 */
export function encodeInto(target: Buffer, at: number, value: unknown): number | Buffer {
  packr.useBuffer(target);
  packr.position = at;
  const packed = packr.pack(value, RESET_BUFFER_MODE | REUSE_BUFFER_MODE) as Packed;
  if (packed !== target) return packed.subarray(packed.start, packed.end);
  // msgpackr begins at a multiple of eight.
  if (packed.start > at) target.copyWithin(at, packed.start, packed.end);
  return at + packed.end - packed.start;
}

/** The msgpack form of `value`, in a buffer of its own; nothing at all for undefined. */
export function encode(value: unknown): Buffer {
  if (value === undefined) return EMPTY;
  const packed = encodeInto(scratch, 0, value);
  return typeof packed === 'number' ? Buffer.from(scratch.subarray(0, packed)) : packed;
}

const range = { start: 0, end: 0 };

/** Where an encoded message lies. */
export interface Encoded {
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
  /** Whether the buffer stays as it is, so that binaries can be views of it; else they are copied. */
  readonly owned: boolean;
}

/** The value of a message; undefined for none. Throws on malformed input. */
export function decode({ buffer, start, end, owned }: Encoded): unknown {
  if (start === end) return undefined;
  range.start = start;
  range.end = end;
  return (owned ? unpackr : copyingUnpackr).unpack(buffer, range) as unknown;
}

/** The values that stand one after another in a message. Throws on malformed input. */
export function decodeAll({ buffer, start, end, owned }: Encoded): unknown[] {
  if (start === end) return [];
  return (owned ? unpackr : copyingUnpackr).unpackMultiple(buffer.subarray(start, end)) as unknown[];
}

/** What stands before the bytes of a binary in msgpack: `bin 32`. */
export function binaryHeader(bytes: number): Buffer {
  const header = Buffer.alloc(5, 0xc6);
  header.writeUInt32BE(bytes, 1);
  return header;
}
