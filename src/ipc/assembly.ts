import type { Encoded } from './codec.js';
import { CHUNK_BYTES, type Frame } from './frame.js';

/** An answer or an item that comes in chunks is put together up to this size. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** A message that comes in several frames. Each is copied to its place at once, so that the last one costs no more. */
export class Assembly implements Encoded {
  readonly buffer: Buffer;
  readonly start = 0;
  readonly owned = true;
  #end = 0;

  private constructor(capacity: number) {
    this.buffer = Buffer.allocUnsafeSlow(capacity);
  }

  /** Begins with a message's first frame. Gives undefined if the message is too large. */
  static begin(frame: Frame): Assembly | undefined {
    const capacity = frame.end - frame.start + frame.rest * CHUNK_BYTES;
    if (capacity > MAX_MESSAGE_BYTES + CHUNK_BYTES) return undefined;
    const assembly = new Assembly(capacity);
    assembly.add(frame);
    return assembly;
  }

  get end(): number {
    return this.#end;
  }

  /** Adds the next frame. False if there is more in it than the first one said. */
  add(frame: Frame): boolean {
    if (this.#end + frame.end - frame.start > this.buffer.length) return false;
    this.#end += frame.buffer.copy(this.buffer, this.#end, frame.start, frame.end);
    return true;
  }
}
