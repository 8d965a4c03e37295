import type { Socket } from 'node:net';
import { FrameType, HEADER_BYTES, Offset, writeHeader } from './frame.js';

const SLAB_BYTES = 128 * 1024;
/** Flushing only at the end of a tick would make both ends wait for each other in turn. */
const FLUSH_FRAMES = 16;
/** A frame above this size is not copied into the slab. */
const COPY_BYTES = 64 * 1024;
/** Small items of one stream share a frame up to this size. */
const ITEM_FRAME_BYTES = 8 * 1024;
/** With this much unsent the producers of streams and large answers wait. */
const CONGESTED_BYTES = 512 * 1024;

/** Gathers frames in one slab and writes them to the socket together: every 16 frames, and when the tick ends. */
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

  /** Writes a frame. The body is copied, unless it is large: then it must not change any more. */
  frame(type: FrameType, flags: number, destination: number, call: number, body: Buffer): void {
    const bytes = HEADER_BYTES + body.length;
    const inSlab = body.length <= COPY_BYTES ? bytes : HEADER_BYTES;
    if (this.#end + inSlab > SLAB_BYTES) this.#renew();
    writeHeader(this.#slab, this.#end, body.length, type, flags, destination, call);
    this.#itemAt = type === FrameType.ITEM && flags === 0 ? this.#end : -1;
    this.#itemCall = call;
    this.#itemDestination = destination;
    this.#end += HEADER_BYTES;
    if (bytes === inSlab) {
      body.copy(this.#slab, this.#end);
      this.#end += body.length;
    } else {
      this.flush();
      this.#socket.write(body);
    }
    this.#frames += 1;
    if (this.#frames >= FLUSH_FRAMES) this.flush();
    else this.#schedule();
  }

  /** Writes an item of a stream: into the frame of the former one, if that was the last thing written. */
  item(destination: number, call: number, body: Buffer): void {
    const at = this.#itemAt;
    if (
      at < 0 ||
      this.#itemCall !== call ||
      this.#itemDestination !== destination ||
      this.#end + body.length - at > ITEM_FRAME_BYTES ||
      this.#end + body.length > SLAB_BYTES
    ) {
      this.frame(FrameType.ITEM, 0, destination, call, body);
      return;
    }
    body.copy(this.#slab, this.#end);
    this.#end += body.length;
    this.#slab.writeUInt32BE(this.#end - at - HEADER_BYTES, at + Offset.LENGTH);
  }

  /** Gives what was gathered to the socket. */
  flush(): void {
    this.#frames = 0;
    this.#itemAt = -1;
    if (this.#begin === this.#end) return;
    this.#socket.write(this.#slab.subarray(this.#begin, this.#end));
    this.#begin = this.#end;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  #renew(): void {
    this.flush();
    this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.#begin = 0;
    this.#end = 0;
  }
}
