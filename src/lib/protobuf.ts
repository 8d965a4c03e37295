/**
 * The wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding/), as much of it as Hamlet's
 * messages use: varints and length-delimited fields. The code in src/gen/ calls it. A library would cost each program
 * that speaks gRPC 15 to 30 ms of its start.
 */
import { HamletError } from './errors.js';

const varint = 0;
const fixed64 = 1;
const lengthDelimited = 2;
const fixed32 = 5;

/** A 64-bit varint takes at most this many bytes. */
const maxVarintBytes = 10;
const firstCapacityBytes = 256;
const two32 = 2 ** 32;

/** Writes one message. Every method writes its field, also when the value is the default one. */
export class ProtoWriter {
  #buffer = Buffer.allocUnsafe(firstCapacityBytes);
  #length = 0;

  string(field: number, value: string): void {
    const bytes = Buffer.byteLength(value);
    this.#delimited(field, bytes);
    this.#buffer.write(value, this.#length);
    this.#length += bytes;
  }

  bytes(field: number, value: Uint8Array): void {
    this.#delimited(field, value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  bool(field: number, value: boolean): void {
    this.int64(field, value ? 1 : 0);
  }

  /** An int32, int64, uint32 or uint64. Throws INVALID_ARGUMENT for what is not a safe integer. */
  int64(field: number, value: number): void {
    if (!Number.isSafeInteger(value)) {
      throw new HamletError('INVALID_ARGUMENT', `${value} in field ${field} is not a safe integer`);
    }
    this.#reserve(2 * maxVarintBytes);
    this.#varint(field * 8 + varint);
    this.#varint(value);
  }

  /** The message so far. It shares the writer's memory: a writer is used once. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #delimited(field: number, bytes: number): void {
    this.#reserve(2 * maxVarintBytes + bytes);
    this.#varint(field * 8 + lengthDelimited);
    this.#varint(bytes);
  }

  #varint(value: number): void {
    // Two's complement in 64 bits, as two halves: JavaScript's shifts work on 32.
    let low = value >>> 0;
    let high = Math.floor(value / two32) >>> 0;
    while (high !== 0 || low > 0x7f) {
      this.#buffer[this.#length++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.#buffer[this.#length++] = low;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/**
 * Reads one message field by field: `while (reader.next()) switch (reader.tag) …`, where a tag is the field's number
 * times eight plus its wire type. Throws INVALID_ARGUMENT for bytes that are not a message.
 */
export class ProtoReader {
  readonly #buffer: Buffer;
  #offset = 0;
  #low = 0;
  #high = 0;
  /** The tag of the field that `next` came to. */
  tag = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Goes to the next field; false at the end of the message. */
  next(): boolean {
    if (this.#offset === this.#buffer.length) return false;
    this.#varint();
    this.tag = this.#low;
    if (this.#high !== 0 || this.tag < 8) throw malformed('a field number out of range');
    return true;
  }

  /** The field's text; bytes that are not UTF-8 become U+FFFD. */
  string(): string {
    const start = this.#delimited();
    return this.#buffer.toString('utf8', start, this.#offset);
  }

  /** The field's bytes, as a view of the message. */
  bytes(): Buffer {
    const start = this.#delimited();
    return this.#buffer.subarray(start, this.#offset);
  }

  bool(): boolean {
    this.#varint();
    return this.#low !== 0 || this.#high !== 0;
  }

  int32(): number {
    this.#varint();
    return this.#low | 0;
  }

  uint32(): number {
    this.#varint();
    return this.#low;
  }

  /** Throws INVALID_ARGUMENT for a number that JavaScript cannot hold exactly. */
  int64(): number {
    this.#varint();
    return safe((this.#high | 0) * two32 + this.#low);
  }

  /** Throws INVALID_ARGUMENT for a number that JavaScript cannot hold exactly. */
  uint64(): number {
    this.#varint();
    return safe(this.#high * two32 + this.#low);
  }

  /** Passes over a field that this version does not know. */
  skip(): void {
    switch (this.tag & 7) {
      case varint:
        return this.#varint();
      case fixed64:
        return this.#forward(8);
      case lengthDelimited:
        this.#delimited();
        return;
      case fixed32:
        return this.#forward(4);
      default:
        throw malformed(`wire type ${this.tag & 7}`);
    }
  }

  /** Passes over a length and its bytes; gives where they start. */
  #delimited(): number {
    this.#varint();
    if (this.#high !== 0) throw malformed('a length out of range');
    const start = this.#offset;
    this.#forward(this.#low);
    return start;
  }

  #forward(bytes: number): void {
    if (bytes > this.#buffer.length - this.#offset) throw malformed('an end in the middle of a field');
    this.#offset += bytes;
  }

  #varint(): void {
    let low = 0;
    let high = 0;
    for (let index = 0; index < maxVarintBytes; index++) {
      const byte = this.#buffer[this.#offset++];
      if (byte === undefined) throw malformed('an end in the middle of a number');
      const bits = byte & 0x7f;
      const shift = 7 * index;
      if (shift < 32) low |= bits << shift;
      // The fifth group of seven bits lies across the two halves.
      if (shift === 28) high |= bits >>> 4;
      if (shift > 28) high |= bits << (shift - 32);
      if (byte < 0x80) {
        this.#low = low >>> 0;
        this.#high = high >>> 0;
        return;
      }
    }
    throw malformed('a number of more than 64 bits');
  }
}

function safe(value: number): number {
  if (!Number.isSafeInteger(value)) throw malformed('a number of more than 53 bits');
  return value;
}

function malformed(what: string): HamletError {
  return new HamletError('INVALID_ARGUMENT', `not a valid message: ${what}`);
}
