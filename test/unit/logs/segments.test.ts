import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { sequencesPerStart } from '../../../src/lib/ring/memory.js';
import { LineBlock, type RingLine } from '../../../src/lib/ring/block.js';
import { decodeBlock, encodeBlock, readBlock } from '../../../src/lib/segments/block.js';
import { BlockPool } from '../../../src/workers/logs/block-pool.js';
import { segmentFiles, type SegmentFiles } from '../../../src/workers/logs/segment-files.js';
import { SegmentLog } from '../../../src/workers/logs/segment-log.js';
import { Death, FailingFiles, type Loss } from './failing-files.js';
import { Source } from './source.js';

/** Small, so that a few lines fill a segment. */
const segmentBytes = 600;

const textsOf = (lines: Iterable<RingLine>): string[] => [...lines].map(({ data }) => data.toString());

/** All that is on disk, block by block; throws for what is twice or out of order. */
async function readAll(log: SegmentLog): Promise<RingLine[]> {
  const lines: RingLine[] = [];
  let next = 0;
  for (let block = await log.linesFrom(next); block !== undefined; block = await log.linesFrom(next)) {
    for (const line of block.lines(next)) {
      if (line.sequence < next) throw new Error(`${line.sequence} after ${next}`);
      lines.push(line);
      next = line.sequence + 1;
    }
  }
  return lines;
}

/** The same, read from the end. */
async function readBack(log: SegmentLog): Promise<string[]> {
  const lines: string[] = [];
  let before = Infinity;
  for (;;) {
    const block: LineBlock | undefined = await log.linesBefore(before);
    if (block === undefined) return lines;
    lines.unshift(...textsOf(block.lines(block.sequence, before)));
    before = block.sequence;
  }
}

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.array(fc.stringMatching(/^[a-z ]{0,90}$/), { minLength: 1, maxLength: 6 }) },
  { weight: 1, arbitrary: fc.constant('sync' as const) },
  { weight: 1, arbitrary: fc.constant('pack' as const) },
);
type Step = readonly string[] | 'sync' | 'pack';

interface Outcome {
  readonly written: readonly string[];
  readonly synced: number;
  readonly files: FailingFiles;
  readonly source: Source;
}

/** Does the steps until the process dies. */
async function live(dir: string, steps: readonly Step[], stepsToLive: number): Promise<Outcome> {
  const files = new FailingFiles(stepsToLive);
  const source = new Source();
  const log = new SegmentLog({ pool: new BlockPool(), ring: source.ring, dir, files, segmentBytes });
  const written: string[] = [];
  let synced = 0;
  const packAll = async () => {
    for (const raw of log.segments.packable(Infinity))
      await log.segments.pack(raw, (from, to) => files.pack(from, to));
  };
  try {
    await log.open();
    for (const [i, step] of steps.entries()) {
      if (step === 'sync') {
        await log.segments.sync();
        synced = written.length;
      } else if (step === 'pack') {
        await packAll();
      } else {
        const lines = step.map((line, k) => `${i}.${k} ${line}`);
        source.write(lines.map((line) => `${line}\n`).join(''), i);
        written.push(...lines);
        await log.write();
        if (log.segments.packable(Infinity).length > 5) await packAll();
      }
    }
  } catch (error) {
    if (!(error instanceof Death)) throw error;
  }
  await log.close();
  return { written, synced, files, source };
}

void t.test(
  'death at every step, and a cut of the power: what is read is a prefix of what was written',
  async () => {
    const losses: readonly Loss[] = ['none', 'cut', 'zeros', 'garbage'];
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { minLength: 5, maxLength: 14 }), async (steps) => {
        const folder = mkdtempSync(join(tmpdir(), 'hamlet-segments-'));
        try {
          const all = (await live(join(folder, 'all'), steps, Infinity)).files.steps;
          for (let n = 1; n <= all; n += 1) {
            const loss = losses[n % losses.length] ?? 'none';
            const dir = join(folder, String(n));
            const { written, synced, files, source } = await live(dir, steps, n);
            files.cutPower(loss);
            const log = new SegmentLog({
              pool: new BlockPool(),
              ring: new Source(2).ring,
              dir,
              files: segmentFiles,
              segmentBytes,
            });
            await log.open();
            const lines = await readAll(log);
            const texts = textsOf(lines);
            const what = `step ${n} of ${all}, ${loss}`;
            if (texts.join('\n') !== written.slice(0, texts.length).join('\n'))
              throw new Error(`${what}: invented`);
            if (texts.length < synced)
              throw new Error(`${what}: ${texts.length} lines of ${synced} that were safe`);
            if ((await readBack(log)).join('\n') !== texts.join('\n'))
              throw new Error(`${what}: read from the end`);
            if (lines.some(({ sequence }, i) => sequence !== sequencesPerStart + i))
              throw new Error(`${what}: numbers`);
            await log.close();
            // A logs worker that died, in a Hamlet that lives: its successor has the ring and misses nothing.
            const successor = new SegmentLog({
              pool: new BlockPool(),
              ring: source.ring,
              dir,
              files: segmentFiles,
              segmentBytes,
            });
            await successor.open();
            await successor.write();
            if (textsOf(await readAll(successor)).join('\n') !== written.join('\n'))
              throw new Error(`${what}: not all`);
            await successor.close();
          }
        } finally {
          rmSync(folder, { recursive: true });
        }
      }),
      { numRuns: 6 },
    );
  },
);

void t.test('a block is what it was, packed or not', (t) => {
  const source = new Source();
  source.write(`one\n\n${'long'.repeat(5_000)}\n\xff\x00\xfe\nthree\n`, 7);
  const block = source.ring.copy(0, Infinity);
  for (const packed of [false, true]) {
    const bytes = Buffer.concat([Buffer.from('before'), encodeBlock(block, packed), Buffer.from('behind')]);
    const info = readBlock(bytes, 6);
    t.match(info, { from: block.sequence, to: block.end, lastRun: 7 });
    if (info === undefined) continue;
    t.same([...decodeBlock(bytes, 6, info)], [...block]);
    t.same([...decodeBlock(bytes, 6, info).from(block.sequence + 2)], [...block].slice(2));
    for (let i = 6; i < 6 + info.bytes; i += 97) {
      const damaged = Buffer.from(bytes);
      damaged.writeUInt8((damaged[i] ?? 0) ^ 1, i);
      t.equal(readBlock(damaged, 6), undefined, `byte ${i}`);
    }
  }
  t.same(
    [...LineBlock.join([source.ring.copy(0, block.sequence + 2), block.from(block.sequence + 2)])],
    [...block],
  );
  t.end();
});

void t.test('a block of an earlier version is read, as long as its CRC-32 is right', (t) => {
  const source = new Source();
  source.write('one\ntwo\n', 7);
  const block = source.ring.copy(0, Infinity);
  const bytes = Buffer.from(encodeBlock(block, false));
  bytes.write('HLB2', 0, 'latin1');
  t.equal(readBlock(bytes, 0), undefined, 'with the checksum of another version');
  bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4);
  const info = readBlock(bytes, 0);
  t.match(info, { from: block.sequence, to: block.end });
  if (info !== undefined) t.same([...decodeBlock(bytes, 0, info)], [...block]);
  t.end();
});

void t.test('a damaged segment is read up to the damage, and on from the next one', async (t) => {
  const dir = t.testdir();
  const source = new Source();
  const log = new SegmentLog({
    pool: new BlockPool(),
    ring: source.ring,
    dir,
    files: segmentFiles,
    segmentBytes,
  });
  await log.open();
  for (let i = 0; i < 25; i += 1) {
    source.write(`${i} ${'x'.repeat(100)}\n`);
    await log.write();
  }
  const [first = ''] = log.segments.packable(Infinity).map(({ file }) => file);
  const bytes = readFileSync(first);
  bytes[bytes.length - 3] = (bytes[bytes.length - 3] ?? 0) ^ 1;
  writeFileSync(first, bytes);
  const numbers = textsOf(await readAll(log)).map((text) => Number(text.split(' ')[0]));
  t.ok(numbers.length < 25 && numbers.length > 15);
  t.same(
    numbers,
    [...numbers].sort((a, b) => a - b),
  );
  t.equal(numbers.at(-1), 24);
  await log.close();
});

void t.test('readers of one segment read it once', async (t) => {
  const source = new Source();
  let reads = 0;
  let isBroken = true;
  const files: SegmentFiles = {
    ...segmentFiles,
    readAll: (file) => {
      reads += 1;
      return isBroken ? Promise.reject(new Error('the disk is gone')) : segmentFiles.readAll(file);
    },
  };
  const dir = t.testdir();
  const log = new SegmentLog({ pool: new BlockPool(), ring: source.ring, dir, files, segmentBytes });
  await log.open();
  source.write(`${'x'.repeat(segmentBytes)}\n`);
  await log.write();
  t.equal(log.segments.packable(Infinity).length, 1);
  await t.rejects(log.linesFrom(0), { message: 'the disk is gone' });
  isBroken = false;
  reads = 0;
  const blocks = await Promise.all(Array.from({ length: 20 }, () => log.linesFrom(0)));
  t.ok(blocks.every((block) => block?.count === 1));
  t.equal(reads, 1);
  await log.close();
});

void t.test('a segment that cannot be taken up leaves no descriptor open', async (t) => {
  const dir = t.testdir();
  const openCount = () => readdirSync('/proc/self/fd').length;
  const before = openCount();
  // A folder that cannot be synced.
  await t.rejects(segmentFiles.open('/proc/self/comm'), { code: 'EINVAL' });
  t.equal(openCount(), before);

  const source = new Source();
  source.write('one\n');
  const bytes = encodeBlock(source.ring.copy(0, Infinity), false);
  writeFileSync(join(dir, `${sequencesPerStart}.raw`), Buffer.concat([bytes, Buffer.from('torn')]));
  const files: SegmentFiles = {
    ...segmentFiles,
    open: async (file) => {
      const handle = await segmentFiles.open(file);
      const truncate = () => Promise.reject(new Error('the disk is gone'));
      return {
        write: (parts, at) => handle.write(parts, at),
        truncate,
        sync: () => handle.sync(),
        close: () => handle.close(),
      };
    },
  };
  const log = new SegmentLog({ pool: new BlockPool(), ring: source.ring, dir, files, segmentBytes });
  await t.rejects(log.open(), { message: 'the disk is gone' });
  t.equal(openCount(), before);
});

void t.test('lines of another node are not taken for this one’s', async (t) => {
  const dir = t.testdir();
  const old = new Source(5);
  const before = new SegmentLog({
    pool: new BlockPool(),
    ring: old.ring,
    dir,
    files: segmentFiles,
    segmentBytes,
  });
  await before.open();
  old.write('old\n');
  await before.write();
  await before.close();
  const log = new SegmentLog({
    pool: new BlockPool(),
    ring: new Source(1).ring,
    dir,
    files: segmentFiles,
    segmentBytes,
  });
  await log.open();
  t.equal(await log.linesFrom(0), undefined);
  t.same(readdirSync(dir), []);
  await log.close();
});

void t.test('a log that fills segment after segment is told from one that does not', async (t) => {
  const source = new Source();
  const log = new SegmentLog({
    pool: new BlockPool(),
    ring: source.ring,
    dir: t.testdir(),
    files: segmentFiles,
    segmentBytes,
  });
  await log.open();
  const startMs = performance.now();
  while (log.segments.packable(Infinity).length < 3) {
    source.write(`${'x'.repeat(100)}\n`);
    await log.write();
  }
  t.notOk(log.segments.isFlooded(startMs), '3 segments');
  t.same(log.segments.packable(startMs), [], 'a flood may begin so');
  const calmMs = performance.now() + 250;
  t.equal(log.segments.packable(calmMs).length, 3, 'none has begun');
  while (log.segments.packable(Infinity).length < 4) {
    source.write(`${'x'.repeat(100)}\n`);
    await log.write();
  }
  t.ok(log.segments.isFlooded(startMs), '4 segments in no time');
  t.same(log.segments.packable(startMs), []);
  const overMs = performance.now() + 250;
  t.notOk(log.segments.isFlooded(overMs), 'a quarter of a second later');
  t.equal(log.segments.packable(overMs).length, 4);
  await log.close();
});
