import type { Socket } from 'node:net';
import { binaryHeader, encodeInto, MIN_ROOM_BYTES } from './codec.js';
import { FrameType, HEADER_BYTES, Offset, SINGLE_BYTES, writeHeader, writeU32 } from './frame.js';

const SLAB_BYTES = 256 * 1024;
/** Flushing only at the end of a tick would make both ends wait for each other in turn. */
const FLUSH_FRAMES = 64;
/** A frame above this size goes to the socket as it is, not through the slab. */
const COPY_BYTES = 128 * 1024;
/** Small items of one stream share a frame up to this size. */
const ITEM_FRAME_BYTES = 8 * 1024;
/** With this much unsent the producers of streams and large answers wait. */
const CONGESTED_BYTES = 512 * 1024;

/** A binary above this size goes past msgpackr, which would copy it once more. */
const BINARY_BYTES = 4 * 1024;

/** The bytes of a message, in pieces. */
export type Large = readonly Uint8Array[];

const NOTHING: Large = [];

/** Gathers frames in one slab and gives them to the socket together: every few frames, and when the tick ends. */
export class SlabWriter {
  readonly #socket: Socket;
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #begin = 0;
  #end = 0;
  #frames = 0;
  #scheduled = false;
  /** The ITEM frame that ends the slab, to which items of the same call can be added. */
  #itemAt = -1;
  #itemCall = 0;
  #itemDestination = 0;
  #waiting: (() => void)[] = [];
  readonly #onTickEnd = () => {
    this.#scheduled = false;
    this.flush();
  };

  constructor(socket: Socket) {
    this.#socket = socket;
    const wake = () => {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const resume of waiting) resume();
    };
    socket.on('drain', wake);
    socket.on('close', wake);
  }

  /** Bytes that the socket has not taken yet. */
  get backlogBytes(): number {
    return this.#socket.writableLength + this.#end - this.#begin;
  }

  /** A promise to wait for before producing more, or undefined if there is nothing to wait for. */
  congestion(): Promise<void> | undefined {
    if (this.#socket.writableLength < CONGESTED_BYTES || this.#socket.destroyed) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /**
   * Sends `value` in a frame; undefined as a frame without a body. Gives its bytes instead, and sends nothing,
   * if they are too many for one frame. Throws if the value has no msgpack form.
   */
  message(type: FrameType, destination: number, call: number, value: unknown): Large | undefined {
    if (value === undefined) {
      this.frame(type, 0, destination, call);
      return undefined;
    }
    if (value instanceof Uint8Array && value.length > BINARY_BYTES) {
      const large = [binaryHeader(value.length), value];
      if (value.length > SINGLE_BYTES) return large;
      this.frame(type, 0, destination, call, large);
      return undefined;
    }
    const at = this.#room(HEADER_BYTES + MIN_ROOM_BYTES);
    const end = encodeInto(this.#slab, at + HEADER_BYTES, value);
    if (typeof end !== 'number') {
      if (end.length > SINGLE_BYTES) return [end];
      this.frame(type, 0, destination, call, [end]);
      return undefined;
    }
    const bytes = end - at - HEADER_BYTES;
    if (bytes > SINGLE_BYTES) return [Buffer.from(this.#slab.subarray(at + HEADER_BYTES, end))];
    writeHeader(this.#slab, at, bytes, type, 0, destination, 0, call);
    this.#end = end;
    this.#itemAt = -1;
    this.#count();
    return undefined;
  }

  /**
   * Sends an item of a stream: in the frame of the former one, if that was the last thing written. Gives how many
   * bytes that took; or the item's bytes, unsent, if they are too many for one frame. Throws if the value has no
   * msgpack form.
   */
  item(destination: number, call: number, value: unknown): number | Large {
    const at = this.#room(HEADER_BYTES + MIN_ROOM_BYTES);
    const joins = this.#itemAt >= 0 && this.#itemCall === call && this.#itemDestination === destination;
    const start = joins ? at : at + HEADER_BYTES;
    const end = encodeInto(this.#slab, start, value);
    if (typeof end !== 'number') {
      if (end.length > SINGLE_BYTES) return [end];
      this.frame(FrameType.ITEM, 0, destination, call, [end]);
      return HEADER_BYTES + end.length;
    }
    const bytes = end - start;
    if (bytes > SINGLE_BYTES) return [Buffer.from(this.#slab.subarray(start, end))];
    if (joins) {
      writeU32(this.#slab, this.#itemAt + Offset.LENGTH, end - this.#itemAt - HEADER_BYTES);
    } else {
      writeHeader(this.#slab, at, bytes, FrameType.ITEM, 0, destination, 0, call);
      this.#itemAt = at;
      this.#itemCall = call;
      this.#itemDestination = destination;
    }
    this.#end = end;
    if (end - this.#itemAt > ITEM_FRAME_BYTES) this.#itemAt = -1;
    if (joins) return bytes;
    this.#count();
    return HEADER_BYTES + bytes;
  }

  /**
   * Sends a frame whose body is encoded already; `rest` frames more belong to the same message. Parts of a body
   * that is very large must not change any more.
   */
  frame(type: FrameType, flags: number, destination: number, call: number, body = NOTHING, rest = 0): void {
    const bytes = sizeOf(body);
    const copies = bytes <= COPY_BYTES;
    const at = this.#room(HEADER_BYTES + (copies ? bytes : 0));
    writeHeader(this.#slab, at, bytes, type, flags, destination, rest, call);
    this.#end = at + HEADER_BYTES;
    this.#itemAt = -1;
    if (!copies) {
      this.flush();
      for (const part of body) this.#socket.write(part);
      return;
    }
    for (const part of body) {
      this.#slab.set(part, this.#end);
      this.#end += part.length;
    }
    this.#count();
  }

  /** Gives what was gathered to the socket. */
  flush(): void {
    this.#frames = 0;
    this.#itemAt = -1;
    if (this.#begin === this.#end) return;
    this.#socket.write(this.#slab.subarray(this.#begin, this.#end));
    // Nothing left in the socket means that the kernel has a copy of it all: the slab is free again.
    if (this.#socket.writableLength === 0) this.#end = 0;
    this.#begin = this.#end;
  }

  #count(): void {
    this.#frames += 1;
    if (this.#frames >= FLUSH_FRAMES) {
      this.flush();
    } else if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(this.#onTickEnd);
    }
  }

  /** Where the next frame begins, with this much room behind. */
  #room(bytes: number): number {
    if (this.#end + bytes > SLAB_BYTES) {
      this.flush();
      if (this.#end + bytes > SLAB_BYTES) {
        this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
        this.#begin = 0;
        this.#end = 0;
      }
    }
    return this.#end;
  }
}

/** How many bytes the pieces are together. */
export function sizeOf(parts: Large): number {
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  return bytes;
}

/** The pieces of a message from `start` to `end`. */
export function sliceOf(parts: Large, start: number, end: number): Large {
  const slices: Uint8Array[] = [];
  let at = 0;
  for (const part of parts) {
    if (at < end && at + part.length > start) slices.push(part.subarray(Math.max(0, start - at), end - at));
    at += part.length;
  }
  return slices;
}
