import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { fastChecksum, plainChecksum } from '../../../src/lib/segments/checksum.js';

const plain = plainChecksum();
const fast = fastChecksum();

void t.test('with WebAssembly the checksum is the same as without', (t) => {
  if (fast === undefined) t.comment('no SIMD here');
  const check = (bytes: Uint8Array) => {
    const [expected, found] = [plain(bytes), (fast ?? plain)(bytes)];
    if (found !== expected) throw new Error(`${found} of ${bytes.length} bytes, and not ${expected}`);
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200, size: 'max' }), fc.nat({ max: 7 }), (bytes, offset) => {
      const memory = Buffer.alloc(offset + bytes.length);
      memory.set(bytes, offset);
      check(memory.subarray(offset));
    }),
    { numRuns: 500 },
  );
  // Around the end of what is summed up in one go, and the largest block that there is.
  for (const length of [131_007, 131_008, 131_009, 131_024, 4 * 1024 * 1024]) {
    check(Buffer.alloc(length, 0xff));
    check(Buffer.from(Uint32Array.from({ length: length / 4 }, (_, i) => i * 2_654_435_761).buffer));
  }
  t.end();
});

void t.test('it is of what the description says', (t) => {
  // Words 1 to 6: lane 0 has 1 and 5, lane 1 has 2 and 6, lanes 2 and 3 have 3 and 4, and a zero each.
  const words = Buffer.from(Uint32Array.of(1, 2, 3, 4, 5, 6).buffer);
  const sums = Buffer.from(BigUint64Array.of(6n, 8n, 3n, 4n, 7n, 10n, 6n, 8n).buffer);
  for (const checksum of [plain, fast ?? plain]) t.equal(checksum(words), crc32(sums));
  t.end();
});

void t.test('a change of a word, or of two, changes it', (t) => {
  const bytes = Buffer.from('a line of a log and another one\n'.repeat(20));
  const checksum = fast ?? plain;
  const before = checksum(bytes);
  const place = fc.nat({ max: bytes.length - 1 });
  const bit = fc.nat({ max: 7 });
  const flip = (at: number, bit: number) => {
    bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
  };
  fc.assert(
    fc.property(place, bit, place, bit, (first, firstBit, second, secondBit) => {
      flip(first, firstBit);
      const afterOne = checksum(bytes);
      flip(second, secondBit);
      const afterTwo = checksum(bytes);
      const isTheSame = first === second && firstBit === secondBit;
      flip(second, secondBit);
      flip(first, firstBit);
      if (afterOne === before || (afterTwo === before) !== isTheSame)
        throw new Error(`${first}.${firstBit} and ${second}.${secondBit} were not noticed`);
    }),
    { numRuns: 2_000 },
  );
  const swapped = Buffer.concat([bytes.subarray(16, 32), bytes.subarray(0, 16), bytes.subarray(32)]);
  t.not(checksum(swapped), before, 'two steps that changed places');
  t.not(checksum(Buffer.concat([bytes, Buffer.alloc(16)])), before, 'zeros behind');
  t.end();
});
