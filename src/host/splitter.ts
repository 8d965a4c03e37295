import {
  FrameType,
  HEADER_BYTES,
  headerFault,
  MAX_BODY_BYTES,
  Offset,
  readU16,
  readU32,
  ROUTER_SLOT,
  writeU16,
} from '../ipc/frame.js';

export interface SplitterOptions {
  /** The limit for a body until open() is called. */
  readonly maxBodyBytes: number;
  /** A HELLO: valid until the call returns. */
  readonly hello: (body: Buffer) => void;
  /** Whole frames that follow each other, all requests or none, for one destination; `parts` joined are they. */
  readonly run: (destination: number, requests: boolean, parts: readonly Buffer[], frames: number) => void;
  /** The stream breaks the rules, in words. Nothing more comes out of it. */
  readonly fault: (fault: string) => void;
}

/** Cuts one peer's byte stream into runs of frames that can be passed on in one piece, and stamps their source. */
export class Splitter {
  readonly #options: SplitterOptions;
  readonly #head = Buffer.alloc(HEADER_BYTES);
  #headBytes = 0;
  /** The pieces of a frame whose end has not come yet. */
  #parts: Buffer[] = [];
  #missingBytes = 0;
  #maxBodyBytes: number;
  #address = 0;
  #state: 'hello' | 'open' | 'stopped' = 'hello';

  constructor(options: SplitterOptions) {
    this.#options = options;
    this.#maxBodyBytes = options.maxBodyBytes;
  }

  /** The handshake is done: frames may come, and carry this source. */
  open(address: number): void {
    this.#address = address;
    this.#maxBodyBytes = MAX_BODY_BYTES;
    this.#state = 'open';
  }

  stop(): void {
    this.#state = 'stopped';
    this.#parts = [];
  }

  read(chunk: Buffer): void {
    let position = this.#headBytes > 0 ? this.#resume(chunk) : 0;
    let runStart = position;
    let runKey = -1;
    let frames = 0;
    while (this.#state !== 'stopped' && chunk.length - position >= HEADER_BYTES) {
      if (!this.#check(chunk, position)) return;
      const end = position + HEADER_BYTES + readU32(chunk, position);
      if (end > chunk.length) break;
      const key = keyOf(chunk, position);
      if (key !== runKey && frames > 0) {
        this.#run(runKey, [chunk.subarray(runStart, position)], frames);
        frames = 0;
        runStart = position;
      }
      if (key === HELLO_KEY) {
        this.#options.hello(chunk.subarray(position + HEADER_BYTES, end));
        runStart = end;
      } else {
        runKey = key;
        frames += 1;
        writeU16(chunk, position + Offset.SOURCE, this.#address);
      }
      position = end;
    }
    if (frames > 0) {
      const whole = runStart === 0 && position === chunk.length;
      this.#run(runKey, [whole ? chunk : chunk.subarray(runStart, position)], frames);
    }
    if (position < chunk.length) this.#keep(chunk, position);
  }

  #run(key: number, parts: readonly Buffer[], frames: number): void {
    if (this.#state === 'open') this.#options.run(key >> 1, (key & 1) === 1, parts, frames);
  }

  #check(buffer: Buffer, offset: number): boolean {
    const fault = headerFault(buffer, offset) ?? this.#faultOf(buffer, offset);
    if (fault === undefined) return true;
    this.stop();
    this.#options.fault(fault);
    return false;
  }

  #faultOf(buffer: Buffer, offset: number): string | undefined {
    const hello = buffer[offset + Offset.TYPE] === FrameType.HELLO;
    if (this.#state === 'hello' && !hello) return 'a frame before HELLO';
    if (this.#state === 'open' && hello) return 'a second HELLO';
    const length = readU32(buffer, offset);
    if (length > this.#maxBodyBytes)
      return `a HELLO of ${length} bytes is over the limit of ${this.#maxBodyBytes}`;
    if (!hello && (readU16(buffer, offset + Offset.DESTINATION) & 0xff) === ROUTER_SLOT) {
      return 'a frame for the router itself';
    }
    return undefined;
  }

  /** Goes on with the frame that the former chunk ended in. Gives the position behind it. */
  #resume(chunk: Buffer): number {
    let position = 0;
    if (this.#headBytes < HEADER_BYTES) {
      position = chunk.copy(this.#head, this.#headBytes, 0, HEADER_BYTES - this.#headBytes);
      this.#headBytes += position;
      if (this.#headBytes < HEADER_BYTES) return position;
      if (!this.#check(this.#head, 0)) return chunk.length;
      writeU16(this.#head, Offset.SOURCE, this.#address);
      this.#parts = [Buffer.from(this.#head)];
      this.#missingBytes = readU32(this.#head, Offset.LENGTH);
    }
    const end = Math.min(chunk.length, position + this.#missingBytes);
    if (end > position) this.#parts.push(chunk.subarray(position, end));
    this.#missingBytes -= end - position;
    if (this.#missingBytes > 0) return end;
    const parts = this.#parts;
    this.#parts = [];
    this.#headBytes = 0;
    const key = keyOf(this.#head, 0);
    if (key === HELLO_KEY) this.#options.hello(Buffer.concat(parts.slice(1)));
    else this.#run(key, parts, 1);
    return end;
  }

  #keep(chunk: Buffer, position: number): void {
    this.#headBytes = chunk.copy(this.#head, 0, position, Math.min(chunk.length, position + HEADER_BYTES));
    if (this.#headBytes < HEADER_BYTES) return;
    const part = chunk.subarray(position);
    writeU16(part, Offset.SOURCE, this.#address);
    this.#parts = [part];
    this.#missingBytes = readU32(this.#head, Offset.LENGTH) - (part.length - HEADER_BYTES);
  }
}

const HELLO_KEY = -2;

/** What the frames of one run have in common: the destination, and whether they are requests. */
function keyOf(buffer: Buffer, offset: number): number {
  const type = buffer[offset + Offset.TYPE];
  if (type === FrameType.HELLO) return HELLO_KEY;
  return readU16(buffer, offset + Offset.DESTINATION) * 2 + (type === FrameType.REQUEST ? 1 : 0);
}
