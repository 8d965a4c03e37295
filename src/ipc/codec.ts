import { Packr, Unpackr } from 'msgpackr';

/**
 * msgpackr's RESET_BUFFER_MODE: the next pack() writes over this one's result, which is therefore copied at
 * once (by SlabWriter). The constant is in msgpackr's code but not in its types.
 */
const RESET_BUFFER_MODE = 1024;

/** Beyond this size a message gets to keep the buffer it was packed into. */
const SCRATCH_BYTES = 64 * 1024;

// Both ends need the same options: with records, one side's keys are the other side's numbers.
const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false });
packr.useBuffer(Buffer.allocUnsafeSlow(SCRATCH_BYTES));

const EMPTY = Buffer.alloc(0);

/**
 * The msgpack form of `value`; nothing at all for undefined. Small results are valid only until the next call.
 * Throws what msgpackr throws for a value that has no msgpack form.
 */
export function encode(value: unknown): Buffer {
  return value === undefined ? EMPTY : encodeItem(value);
}

/** Like encode(), but never empty: items stand one after another, so each must be something. */
export function encodeItem(value: unknown): Buffer {
  const packed = packr.pack(value, RESET_BUFFER_MODE);
  if (packed.length > SCRATCH_BYTES / 2) packr.useBuffer(Buffer.allocUnsafeSlow(SCRATCH_BYTES));
  return packed;
}

const range = { start: 0, end: 0 };

/** The value in `buffer` from `start` to `end`. Binary parts are views of `buffer`. Throws on malformed input. */
export function decode(buffer: Buffer, start: number, end: number): unknown {
  if (start === end) return undefined;
  range.start = start;
  range.end = end;
  return unpackr.unpack(buffer, range) as unknown;
}

/** The values that stand one after another in `buffer` from `start` to `end`. Throws on malformed input. */
export function decodeAll(buffer: Buffer, start: number, end: number): unknown[] {
  if (start === end) return [];
  return unpackr.unpackMultiple(buffer.subarray(start, end)) as unknown[];
}
