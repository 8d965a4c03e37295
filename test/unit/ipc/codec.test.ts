import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { binaryHeader, decode, decodeAll, encode, encodeInto } from '../../../src/ipc/codec.js';

const whole = (buffer: Buffer, owned = true) => ({ buffer, start: 0, end: buffer.length, owned });

const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, undefined, true, false),
    // msgpack has no negative zero: msgpackr writes an integer.
    fc.double({ noNaN: true }).map((number) => (number === 0 ? 0 : number)),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.string({ unit: 'grapheme', maxLength: 100 }),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    fc.array(tie('value'), { maxLength: 8 }),
    fc.dictionary(
      fc.string({ minLength: 1, maxLength: 20 }).filter((key) => key !== '__proto__'),
      tie('value'),
      { maxKeys: 8, noNullPrototype: true },
    ),
  ),
})).value;

void t.test('what is encoded comes back', async () => {
  fc.assert(
    fc.property(value, (value) => {
      const bytes = encode(value);
      assert.deepEqual(decode(whole(bytes)), value);
      assert.deepEqual(decode(whole(bytes, false)), value);
    }),
    { numRuns: 500 },
  );
});

void t.test('values are written one after another wherever there is room', async () => {
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 20 }), fc.nat(50), (values, offset) => {
      const slab = Buffer.alloc(64 * 1024, 0xaa);
      let end = offset;
      for (const value of values) {
        const next = encodeInto(slab, end, value);
        if (typeof next !== 'number') assert.fail('there is room for it');
        end = next;
      }
      assert(
        slab.subarray(0, offset).every((byte) => byte === 0xaa),
        'nothing before the place is touched',
      );
      assert.deepEqual(decodeAll({ buffer: slab, start: offset, end, owned: false }), values);
    }),
    { numRuns: 300 },
  );
});

void t.test('a value too large for the room left comes in a buffer of its own', async (t) => {
  const slab = Buffer.alloc(8 * 1024);
  const text = 'x'.repeat(20_000);
  const own = encodeInto(slab, 100, text);
  if (typeof own === 'number') throw new Error('it cannot have fitted');
  t.equal(decode(whole(own)), text);
  const end = encodeInto(slab, 0, 'small again');
  t.equal(decode({ buffer: slab, start: 0, end: end as number, owned: true }), 'small again');
  t.equal(decode(whole(own)), text, 'and stays as it is');
});

void t.test('binaries', async (t) => {
  const bytes = Buffer.from('some bytes');
  const shared = encode({ bytes });
  const copied = decode(whole(shared, false)) as { bytes: Buffer };
  shared.fill(0);
  t.same(copied.bytes, bytes, 'nothing refers to a buffer that is read into again');
  const header = binaryHeader(70_000);
  t.same(header, encode(Buffer.alloc(70_000)).subarray(0, header.length), 'as msgpackr writes it');
});

void t.test('malformed bytes throw, and do no lasting harm', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), (bytes) => {
      try {
        decode(whole(Buffer.from(bytes)));
        decodeAll(whole(Buffer.from(bytes)));
      } catch {
        // Any error will do: whoever sent this gets told so.
      }
      assert.deepEqual(decode(whole(encode({ a: [1, 'two'] }))), { a: [1, 'two'] });
    }),
    { numRuns: 3_000 },
  );
  t.throws(() => encode(Symbol('nothing for msgpack')));
  t.equal(decode(whole(encode('still works'))), 'still works');
});
