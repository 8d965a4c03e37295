import fc from 'fast-check';
import t from 'tap';
import { LineSplitter, type Clock } from '../../../src/lib/line-splitter.js';
import {
  createPipeMemory,
  createRingMemory,
  defaultRingLimits,
  lineWord,
  lineWords,
  ringViews,
  type PipeMemory,
  type RingLimits,
  type RingMemory,
} from '../../../src/lib/ring/memory.js';
import { Ring, type WrapView } from '../../../src/lib/ring/ring.js';
import { Death, mortal } from './faults.js';
import { Model, type ModelLine } from './model.js';

const landing = 96;
const clock: Clock = { wallMs: () => 1_700_000_000_123, monotonicUs: () => 2 ** 40 + 5 };

const limits = fc
  .record({
    maxLines: fc.integer({ min: 1, max: 40 }),
    maxLineBytes: fc.integer({ min: 4, max: 48 }),
    pageBytes: fc.constantFrom(16, 32, 64),
    morePages: fc.integer({ min: 1, max: 40 }),
  })
  .map(({ maxLines, maxLineBytes, pageBytes, morePages }) => ({
    maxLines,
    maxLineBytes,
    pageBytes,
    maxBytes: 2 * maxLineBytes + pageBytes + morePages * pageBytes,
  }));

/** Bytes as components write them, with more newlines, NULs and bytes of no character than in life. */
const byte = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(10, 0, 0xff, 0xc3) },
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 255 }) },
  { weight: 8, arbitrary: fc.constantFrom(97, 98, 99) },
);
const chunk = fc
  .array(byte, { minLength: 1, maxLength: landing, size: 'max' })
  .map((bytes) => Uint8Array.from(bytes));
type Step = { readonly bytes: Uint8Array } | 'end of run' | 'new reader';
const steps = fc.array<Step>(
  fc.oneof(
    { weight: 8, arbitrary: chunk.map((bytes) => ({ bytes })) },
    { weight: 1, arbitrary: fc.constant('end of run' as const) },
    { weight: 1, arbitrary: fc.constant('new reader' as const) },
  ),
  { maxLength: 40, size: 'max' },
);

interface Memory {
  readonly ring: RingMemory;
  readonly pipe: PipeMemory;
}

/** A ring into which `before` bytes, whole pages, have been written already. */
function makeMemory(of: RingLimits, firstSequence: number, before = 0): Memory {
  const ring = createRingMemory(of, firstSequence);
  const slot = (firstSequence % (of.maxLines + 1)) * lineWords;
  ringViews(ring).index[slot + lineWord.start] = before;
  return { ring, pipe: createPipeMemory(of, landing) };
}

/** Positions that wrap around, or change their sign, within the ring's first rounds. */
const before = fc.constantFrom(0, 2 ** 31 - 512, 2 ** 32 - 512);

function open(memory: Memory, wrap?: WrapView): { ring: Ring; splitter: LineSplitter } {
  const ring = new Ring(memory.ring, wrap);
  const options = { memory: memory.pipe, ring, source: 'stderr' as const, clock };
  return { ring, splitter: new LineSplitter(wrap === undefined ? options : { ...options, wrap }) };
}

function receive(splitter: LineSplitter, bytes: Uint8Array, run: number): void {
  splitter.landing.set(bytes);
  splitter.received(bytes.length, run);
}

function linesOf(ring: Ring): ModelLine[] {
  return [...ring.copy(0, Infinity)].map(({ data, trueBytes, run }) => ({
    text: data.toString('latin1'),
    trueBytes,
    run,
  }));
}

/** The ring holds as many of the last lines as its bounds allow, numbered without a gap. */
function check(ring: Ring, model: Model, firstSequence: number): void {
  const lines = linesOf(ring);
  const all = model.lines;
  const expected = all.slice(all.length - lines.length);
  if (ring.count !== all.length) throw new Error(`${ring.count} lines counted, ${all.length} written`);
  if (ring.written !== firstSequence + all.length) throw new Error('wrong sequence number');
  if (JSON.stringify(lines) !== JSON.stringify(expected)) throw new Error('wrong lines');
  for (const [i, line] of [...ring.copy(0, Infinity)].entries()) {
    if (line.sequence !== ring.first + i) throw new Error('wrong sequence');
    if (line.atMs !== clock.wallMs() || line.monotonicUs !== clock.monotonicUs())
      throw new Error('wrong time');
    if (line.source !== 'stderr') throw new Error('wrong source');
  }
  const { maxLines, maxBytes, pageBytes } = ring.limits;
  // A batch of many lines makes room for all of them at once.
  const most = Math.min(maxLines, all.length);
  if (lines.length > most) throw new Error('too many lines');
  if (lines.length < most) {
    const stored = (line: ModelLine) => line.text.length + 1 + (line.trueBytes > line.text.length ? 4 : 0);
    const held = lines.reduce((sum, line) => sum + stored(line), 0);
    const next = all[all.length - lines.length - 1];
    if (next !== undefined && held + stored(next) + landing + 3 * pageBytes < maxBytes) {
      throw new Error('a line was given up without need');
    }
  }
}

void t.test('any bytes in any chunks, any bounds, any restarts: the lines of the model', (t) => {
  fc.assert(
    fc.property(
      limits,
      steps,
      fc.constantFrom(0, 1, 2 ** 32, 2 ** 45 + 3),
      before,
      (of, given, firstSequence, bytes) => {
        const memory = makeMemory(of, firstSequence, bytes);
        const model = new Model(of.maxLineBytes);
        let { ring, splitter } = open(memory);
        let run = 1;
        splitter.recover(run);
        for (const step of given) {
          if (step === 'end of run') {
            splitter.flush(run);
            model.flush(run);
            run += 1;
          } else if (step === 'new reader') {
            ({ ring, splitter } = open(memory));
            splitter.recover(run);
          } else {
            receive(splitter, step.bytes, run);
            model.write(step.bytes, run);
          }
          check(ring, model, firstSequence);
        }
      },
    ),
    { numRuns: 1_000 },
  );
  t.end();
});

void t.test(
  'readers at any place, between any writes: what they are given is what the model has at that number',
  (t) => {
    const reads = fc.array(
      fc.record({ reader: fc.nat(3), maxBytes: fc.integer({ min: 1, max: 400 }), lines: fc.nat(60) }),
      { maxLength: 6 },
    );
    const step = fc.tuple(chunk, reads);
    fc.assert(
      fc.property(limits, fc.array(step, { maxLength: 30, size: 'max' }), before, (of, given, bytes) => {
        const first = 2 ** 32;
        const { ring, splitter } = open(makeMemory(of, first, bytes));
        const model = new Model(of.maxLineBytes);
        const positions = [first, first, first, first];
        for (const [bytes, readsThen] of given) {
          receive(splitter, bytes, 1);
          model.write(bytes, 1);
          for (const { reader, maxBytes, lines } of readsThen) {
            const from = positions[reader] ?? first;
            const block = ring.copy(from, from + lines, maxBytes);
            const expected = Math.min(Math.max(from, ring.first), ring.written);
            if (block.sequence !== expected) throw new Error(`${block.sequence} instead of ${expected}`);
            if (block.count === 0 && lines > 0 && from >= ring.first && from < ring.written)
              throw new Error('nothing');
            const cut = block.from(block.sequence + (block.count >> 1));
            for (const line of [...block, ...(block.count > 0 ? cut : [])]) {
              const of = model.lines[line.sequence - first];
              if (line.data.toString('latin1') !== of?.text || line.trueBytes !== of.trueBytes)
                throw new Error('altered');
            }
            positions[reader] = block.end;
          }
        }
      }),
      { numRuns: 500 },
    );
    t.end();
  },
);

/** Does all steps with a life of so many stores; the successor finishes. Gives the stores that all of it took. */
function runWithDeath(of: RingLimits, given: readonly Step[], lives: number): number {
  const memory = makeMemory(of, 7);
  const model = new Model(of.maxLineBytes);
  let stores = 0;
  const wrap = mortal(
    () => lives - stores,
    () => (stores += 1),
  );
  let { ring, splitter } = open(memory, wrap);
  let isDead = false;
  for (const step of given) {
    let flushed = false;
    try {
      if (step === 'new reader') continue;
      if (step === 'end of run') {
        splitter.flush(1);
        model.flush(1);
        flushed = true;
      } else {
        // The kernel's part of a read is done as a whole, whatever happens to the reader behind it.
        model.write(step.bytes, 1);
        receive(splitter, step.bytes, 1);
      }
    } catch (error) {
      if (!(error instanceof Death) || isDead) throw error;
      isDead = true;
      ({ ring, splitter } = open(memory));
      splitter.redo();
      splitter.recover(1);
      if (step === 'end of run' && !flushed) {
        splitter.flush(1);
        model.flush(1);
      }
    }
    check(ring, model, 7);
  }
  return stores;
}

void t.test('death at any store of the writer: no line lost, none twice, none altered', (t) => {
  // The one thing that cannot be known is how many NULs a read ended in whose end the reader did not live.
  const visible = chunk.map((bytes) => Uint8Array.from([...bytes, 98]).subarray(-landing));
  const some = (maxLength: number) =>
    fc.array<Step>(
      fc.oneof(
        { weight: 8, arbitrary: visible.map((bytes) => ({ bytes })) },
        { weight: 1, arbitrary: fc.constant('end of run' as const) },
      ),
      { minLength: 1, maxLength, size: 'max' },
    );
  fc.assert(
    fc.property(limits, some(6), (of, given) => {
      const all = runWithDeath(of, given, Infinity);
      for (let lives = 1; lives <= all; lives += 1) runWithDeath(of, given, lives);
    }),
    { numRuns: 40 },
  );
  // Some deaths in a row only, but in rings that have gone round a few times before and after them.
  fc.assert(
    fc.property(limits, some(60), fc.double({ min: 0, max: 1, noNaN: true }), (of, given, part) => {
      const all = runWithDeath(of, given, Infinity);
      const first = Math.floor(part * all);
      for (let lives = first; lives < first + 40; lives += 1) runWithDeath(of, given, lives);
    }),
    { numRuns: 40 },
  );
  t.end();
});

void t.test('a line of exactly the limit is whole, a longer one ends in dots', (t) => {
  const limits = defaultRingLimits;
  const memory = { ring: createRingMemory(limits, 0), pipe: createPipeMemory(limits) };
  const { ring, splitter } = open(memory);
  receive(splitter, Buffer.from(`${'x'.repeat(16_384)}\n${'y'.repeat(16_385)}\n`), 3);
  receive(splitter, Buffer.alloc(40_000, 'z'), 3);
  receive(splitter, Buffer.alloc(60_000, 'z'), 3);
  receive(splitter, Buffer.from('\nend\n'), 3);
  const lines = [...ring.copy(0, Infinity)];
  t.match(
    lines.map((line) => ({ bytes: line.data.length, trueBytes: line.trueBytes, run: line.run })),
    [
      { bytes: 16_384, trueBytes: 16_384, run: 3 },
      { bytes: 16_384, trueBytes: 16_385, run: 3 },
      { bytes: 16_384, trueBytes: 100_000, run: 3 },
      { bytes: 3, trueBytes: 3, run: 3 },
    ],
  );
  t.equal(lines[1]?.data.subarray(-4).toString(), 'y...');
  t.equal(lines[2]?.data.subarray(-4).toString(), 'z...');
  t.end();
});

void t.test(
  '5,000 lines of 200 bytes take at most 1.15 of their bytes, also after many more of them',
  (t) => {
    const memory = {
      ring: createRingMemory(defaultRingLimits, 0),
      pipe: createPipeMemory(defaultRingLimits),
    };
    const { ring, splitter } = open(memory);
    const line = Buffer.from(`${'l'.repeat(200)}\n`);
    const block = Buffer.concat(new Array<Buffer>(326).fill(line));
    const sizes: number[] = [];
    for (let i = 0; i < 100; i += 1) {
      receive(splitter, block.subarray(0, landing), 1);
      receive(splitter, block, 1);
      sizes.push(ring.claimedBytes);
    }
    t.equal(ring.written - ring.first, 5_000);
    t.ok(ring.claimedBytes <= 1.15 * 5_000 * 200, `${ring.claimedBytes} bytes`);
    t.equal(sizes.at(-1), sizes[50], 'grows no more once it is full');
    t.end();
  },
);

void t.test('a ring grows to its bound and no further, and then holds the last lines', (t) => {
  const limits = { ...defaultRingLimits, maxBytes: 1024 * 1024 };
  const memory = { ring: createRingMemory(limits, 0), pipe: createPipeMemory(limits) };
  const { ring, splitter } = open(memory);
  const line = Buffer.alloc(10_000, 'w');
  line[9_999] = 10;
  for (let i = 0; i < 1_000; i += 1) receive(splitter, line, 1);
  t.equal(memory.ring.pages.byteLength, 1024 * 1024);
  const held = ring.written - ring.first;
  t.ok(held >= 103 && held <= 104, `${held} lines`);
  t.throws(() => createRingMemory({ ...limits, maxBytes: 32_768 }, 0), RangeError);
  t.end();
});
