import { HamletError } from '../lib/errors.js';

/** A frame is this header and a body of `length` bytes (docs/ipc.md); all numbers are big-endian. */
export const HEADER_BYTES = 16;

/** The largest body a frame may have. A longer one is refused from its header, before it is buffered. */
export const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** A message goes in one frame up to this size. */
export const SINGLE_BYTES = 80 * 1024;

/** A larger one goes in chunks of this size. */
export const CHUNK_BYTES = 64 * 1024;

/** What a receiver lets a sender have in flight for one call, headers included: two chunks. */
export const WINDOW_BYTES = 128 * 1024;

export const FrameType = {
  /** The handshake; it is the first frame in both directions, and the only one of its kind. */
  HELLO: 1,
  REQUEST: 2,
  /** The answer of a unary call, in as many frames as it needs. */
  RESPONSE: 3,
  /** One or more items of a stream, or a part of them. */
  ITEM: 4,
  /** The stream is over. */
  END: 5,
  /** The call has failed. With call 0: every call between the receiver and the source has. */
  ERROR: 6,
  /** The caller no longer wants the call's answer. */
  CANCEL: 7,
  /** The caller has read this many bytes and lets the sender go on. */
  CREDIT: 8,
} as const;

export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/** An ERROR that the mesh made, not a handler: the peer is not there, is full, or was lost. */
export const FLAG_MESH = 1;

/** Byte offsets in the header. */
export const Offset = {
  LENGTH: 0,
  TYPE: 4,
  FLAGS: 5,
  SOURCE: 6,
  DESTINATION: 8,
  REST: 10,
  CALL: 12,
} as const;

/**
 * An address is generation * 256 + slot. The slot stands for a name for as long as the router lives; the
 * generation counts the connections made under that name, so that a reply meant for a worker that died never
 * reaches its successor. Generation 0 means "whoever is there now".
 */
export function slotOf(address: number): number {
  return address & 0xff;
}

/** The router's own slot; nobody else has it. */
export const ROUTER_SLOT = 0;

/** A frame as its reader shows it: valid until the reader goes on; the body is `buffer` from `start` to `end`. */
export interface Frame {
  readonly type: FrameType;
  readonly flags: number;
  readonly source: number;
  readonly destination: number;
  /** How many more frames the message has: it comes in chunks unless this is 0 at once. */
  readonly rest: number;
  readonly call: number;
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
  /** Whether the buffer is this frame's alone, and stays as it is. */
  readonly owned: boolean;
}

// Buffer's own methods check what is known here, and take ten times as long.

/** The 16-bit number at `at`. */
export function readU16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

/** The 32-bit number at `at`. */
export function readU32(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at) * 0x1_0000 + readU16(bytes, at + 2);
}

/** Writes a 16-bit number at `at`. */
export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** Writes a 32-bit number at `at`. */
export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  writeU16(bytes, at, value >>> 16);
  writeU16(bytes, at + 2, value);
}

/** Writes a header at `offset`. The source is left to the router. */
export function writeHeader(
  target: Buffer,
  offset: number,
  bodyBytes: number,
  type: FrameType,
  flags: number,
  destination: number,
  rest: number,
  call: number,
): void {
  writeU32(target, offset + Offset.LENGTH, bodyBytes);
  target[offset + Offset.TYPE] = type;
  target[offset + Offset.FLAGS] = flags;
  writeU16(target, offset + Offset.SOURCE, 0);
  writeU16(target, offset + Offset.DESTINATION, destination);
  writeU16(target, offset + Offset.REST, rest);
  writeU32(target, offset + Offset.CALL, call);
}

/** A whole frame in a buffer of its own. */
export function makeFrame(
  type: FrameType,
  flags: number,
  source: number,
  destination: number,
  call: number,
  body: Uint8Array,
): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  writeHeader(frame, 0, body.length, type, flags, destination, 0, call);
  writeU16(frame, Offset.SOURCE, source);
  frame.set(body, HEADER_BYTES);
  return frame;
}

/** Why the header at `offset` cannot be one, in words, or undefined if it can. */
export function headerFault(buffer: Buffer, offset: number): string | undefined {
  const length = readU32(buffer, offset);
  if (length > MAX_BODY_BYTES) return `a frame of ${length} bytes is over the limit of ${MAX_BODY_BYTES}`;
  const type = buffer[offset + Offset.TYPE] ?? 0;
  if (type < FrameType.HELLO || type > FrameType.CREDIT) return `frame type ${type} is unknown`;
  return undefined;
}

/** Cuts a byte stream into frames, wherever its chunks begin and end. */
export class FrameReader {
  readonly #head = Buffer.alloc(HEADER_BYTES);
  #headBytes = 0;
  #body: Buffer | undefined;
  #bodyBytes = 0;
  #stopped = false;
  readonly #frame = {
    type: FrameType.HELLO as FrameType,
    flags: 0,
    source: 0,
    destination: 0,
    rest: 0,
    call: 0,
    buffer: this.#head as Buffer,
    start: 0,
    end: 0,
    owned: false,
  };

  /** Reads no further: what is left of the current chunk and what comes later is dropped. */
  stop(): void {
    this.#stopped = true;
    this.#body = undefined;
    this.#headBytes = 0;
  }

  /**
   * Takes the next chunk, `bytes` from the start of `chunk`, and calls `sink` for each frame that is complete
   * with it. The chunk can be used again afterwards.
   * Throws INVALID_ARGUMENT at a header that cannot be one; the stream cannot be read any further then.
   */
  read(chunk: Buffer, bytes: number, sink: (frame: Frame) => void): void {
    let position = this.#headBytes > 0 ? this.#resume(chunk, bytes, sink) : 0;
    while (!this.#stopped && bytes - position >= HEADER_BYTES) {
      this.#check(chunk, position);
      const start = position + HEADER_BYTES;
      const end = start + readU32(chunk, position);
      if (end > bytes) break;
      this.#emit(chunk, position, chunk, start, end, sink);
      position = end;
    }
    if (!this.#stopped && position < bytes) this.#keep(chunk, position, bytes);
  }

  #check(buffer: Buffer, offset: number): void {
    const fault = headerFault(buffer, offset);
    if (fault === undefined) return;
    this.stop();
    throw new HamletError('INVALID_ARGUMENT', fault);
  }

  /** Goes on with the frame that the former chunk ended in. Gives the position behind it. */
  #resume(chunk: Buffer, bytes: number, sink: (frame: Frame) => void): number {
    let position = 0;
    if (this.#body === undefined) {
      position = chunk.copy(this.#head, this.#headBytes, 0, Math.min(bytes, HEADER_BYTES - this.#headBytes));
      this.#headBytes += position;
      if (this.#headBytes < HEADER_BYTES) return position;
      this.#check(this.#head, 0);
      this.#body = Buffer.allocUnsafeSlow(readU32(this.#head, Offset.LENGTH));
      this.#bodyBytes = 0;
    }
    const body = this.#body;
    const end = Math.min(bytes, position + body.length - this.#bodyBytes);
    const copied = chunk.copy(body, this.#bodyBytes, position, end);
    this.#bodyBytes += copied;
    if (this.#bodyBytes < body.length) return position + copied;
    this.#headBytes = 0;
    this.#body = undefined;
    this.#emit(this.#head, 0, body, 0, body.length, sink);
    return position + copied;
  }

  #keep(chunk: Buffer, position: number, bytes: number): void {
    this.#headBytes = chunk.copy(this.#head, 0, position, Math.min(bytes, position + HEADER_BYTES));
    if (this.#headBytes < HEADER_BYTES) return;
    this.#body = Buffer.allocUnsafeSlow(readU32(this.#head, Offset.LENGTH));
    this.#bodyBytes = chunk.copy(this.#body, 0, position + HEADER_BYTES, bytes);
  }

  #emit(
    head: Buffer,
    offset: number,
    buffer: Buffer,
    start: number,
    end: number,
    sink: (frame: Frame) => void,
  ): void {
    const frame = this.#frame;
    frame.type = head[offset + Offset.TYPE] as FrameType;
    frame.flags = head[offset + Offset.FLAGS] ?? 0;
    frame.source = readU16(head, offset + Offset.SOURCE);
    frame.destination = readU16(head, offset + Offset.DESTINATION);
    frame.rest = readU16(head, offset + Offset.REST);
    frame.call = readU32(head, offset + Offset.CALL);
    frame.buffer = buffer;
    frame.start = start;
    frame.end = end;
    frame.owned = buffer !== head;
    sink(frame);
  }
}
