import fc from 'fast-check';
import protobuf from 'protobufjs';
import t from 'tap';
import { isHamletError } from '../../../src/lib/errors.js';
import { ProtoReader, ProtoWriter } from '../../../src/lib/protobuf.js';

/** The same messages by an independent implementation. */
const reference = protobuf.parse(`
  syntax = "proto3";
  message Everything {
    string text = 1; bytes data = 2; bool flag = 3; int32 small = 4; int64 large = 5;
    uint32 natural = 16; uint64 great = 2047; repeated string words = 2048;
  }
  message Strange { fixed64 a = 1; fixed32 b = 2; double c = 3; string text = 7; }
`).root;
const everything = reference.lookupType('Everything');

const wholeMessage = fc.record(
  {
    text: fc.string({ unit: 'binary' }),
    data: fc.uint8Array({ maxLength: 400 }),
    flag: fc.boolean(),
    small: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    large: fc.maxSafeInteger(),
    natural: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    great: fc.maxSafeNat(),
    words: fc.array(fc.string({ unit: 'grapheme' })),
  },
  { noNullPrototype: true },
);
type Whole = typeof wholeMessage extends fc.Arbitrary<infer T> ? T : never;

function write(message: Whole): Buffer {
  const writer = new ProtoWriter();
  writer.string(1, message.text);
  writer.bytes(2, message.data);
  writer.bool(3, message.flag);
  writer.int64(4, message.small);
  writer.int64(5, message.large);
  writer.int64(16, message.natural);
  writer.int64(2047, message.great);
  for (const word of message.words) writer.string(2048, word);
  return writer.finish();
}

function read(bytes: Uint8Array): Whole {
  const message: Whole = {
    text: '',
    data: new Uint8Array(),
    flag: false,
    small: 0,
    large: 0,
    natural: 0,
    great: 0,
    words: [],
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    const [field, wireType] = [reader.tag >>> 3, reader.tag & 7];
    if (field === 1 && wireType === 2) message.text = reader.string();
    else if (field === 2 && wireType === 2) message.data = new Uint8Array(reader.bytes());
    else if (field === 3 && wireType === 0) message.flag = reader.bool();
    else if (field === 4 && wireType === 0) message.small = reader.int32();
    else if (field === 5 && wireType === 0) message.large = reader.int64();
    else if (field === 16 && wireType === 0) message.natural = reader.uint32();
    else if (field === 2047 && wireType === 0) message.great = reader.uint64();
    else if (field === 2048 && wireType === 2) message.words.push(reader.string());
    else reader.skip();
  }
  return message;
}

void t.test('what we write another implementation reads', async (t) => {
  fc.assert(
    fc.property(wholeMessage, (message) => {
      const decoded = everything.toObject(everything.decode(write(message)), {
        longs: Number,
        defaults: true,
        arrays: true,
      }) as Whole;
      t.strictSame({ ...decoded, data: new Uint8Array(decoded.data) }, message);
    }),
    { numRuns: 200 },
  );
});

void t.test('what another implementation writes we read', async (t) => {
  fc.assert(
    fc.property(wholeMessage, (message) => {
      t.strictSame(read(everything.encode(everything.fromObject(message)).finish()), message);
    }),
    { numRuns: 200 },
  );
});

void t.test('fields that are not known are passed over, whatever their wire type', async (t) => {
  const strange = reference.lookupType('Strange');
  const bytes = strange.encode({ a: 1, b: 2, c: 3.5, text: 'seen' }).finish();
  const reader = new ProtoReader(bytes);
  const seen: string[] = [];
  while (reader.next()) {
    if (reader.tag === 7 * 8 + 2) seen.push(reader.string());
    else reader.skip();
  }
  t.strictSame(seen, ['seen']);
});

void t.test('arbitrary bytes are read or refused, nothing else', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        read(bytes);
      } catch (error) {
        if (!isHamletError(error, 'INVALID_ARGUMENT')) throw error;
      }
    }),
    { numRuns: 5_000 },
  );
  t.pass('neither another error nor an endless loop');
});

void t.test('every truncation of a message is refused or leaves out whole fields', async (t) => {
  const bytes = write({
    text: 'text',
    data: Buffer.from('data'),
    flag: true,
    small: -1,
    large: -2,
    natural: 3,
    great: 4,
    words: ['a', 'b'],
  });
  let refused = 0;
  for (let length = 0; length < bytes.length; length++) {
    try {
      read(bytes.subarray(0, length));
    } catch (error) {
      t.ok(isHamletError(error, 'INVALID_ARGUMENT'));
      refused++;
    }
  }
  t.ok(refused > bytes.length / 2, `${refused} of ${bytes.length} refused`);
});

void t.test('numbers that JavaScript cannot hold exactly are refused at both ends', async (t) => {
  t.throws(() => new ProtoWriter().int64(1, 2 ** 53), { code: 'INVALID_ARGUMENT' });
  t.throws(() => new ProtoWriter().int64(1, 0.5), { code: 'INVALID_ARGUMENT' });
  const tooLarge = Buffer.from([0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
  const reader = new ProtoReader(tooLarge);
  reader.next();
  t.throws(() => reader.int64(), { code: 'INVALID_ARGUMENT' });
});

void t.test('bytes that are not UTF-8 do not stop a string from being read', async (t) => {
  const writer = new ProtoWriter();
  writer.bytes(1, Buffer.from([0x61, 0xff, 0x62]));
  const reader = new ProtoReader(writer.finish());
  reader.next();
  t.equal(reader.string(), 'a\ufffdb');
});
