import fc from 'fast-check';
import t from 'tap';
import { fastLineEnds, maxBlockBytes, plainLineEnds, type LineEnds } from '../../../src/lib/line-ends.js';

/** Bytes in shared memory, as a pipe's landing is, with nothing but zeros behind them. */
function shared(bytes: readonly number[]): Buffer {
  const block = Buffer.from(new SharedArrayBuffer(maxBlockBytes));
  block.set(bytes);
  return block;
}

const found = (search: LineEnds, block: Buffer, length: number): number[] => [
  ...search.ends.subarray(0, search.find(block, length)),
];

void t.test('every newline is found, and nothing else', (t) => {
  const fast = fastLineEnds();
  const plain = plainLineEnds();
  if (fast === undefined) t.comment('no SIMD here');
  const byte = fc.oneof({ weight: 1, arbitrary: fc.constant(10) }, fc.constantFrom(0, 9, 11, 0x8a, 0xff, 97));
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 200, size: 'max' }), (bytes) => {
      const block = shared(bytes);
      const expected = bytes.flatMap((value, i) => (value === 10 ? [i + 1] : [])).join();
      for (const search of [fast ?? plain, plain]) {
        if (found(search, block, bytes.length).join() !== expected) throw new Error(`not ${expected}`);
      }
    }),
    { numRuns: 500 },
  );
  for (const search of [fast ?? plain, plain]) {
    const all = Buffer.from(new SharedArrayBuffer(maxBlockBytes)).fill(10);
    t.equal(search.find(all, maxBlockBytes), maxBlockBytes, 'a block of nothing but newlines');
    t.equal(search.ends.at(-1), maxBlockBytes);
    t.equal(search.find(shared([]), maxBlockBytes), 0);
    t.equal(search.find(shared([10]), 0), 0);
  }
  t.end();
});
