import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { decodeAll } from '../../../src/ipc/codec.js';
import { FrameReader, FrameType } from '../../../src/ipc/frame.js';
import { sizeOf, sliceOf, SlabWriter } from '../../../src/ipc/writer.js';

/** Two ends of one Unix socket. */
async function socketPair(): Promise<{ near: Socket; far: Socket; close: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'hamlet-writer-'));
  const server = createServer().listen(join(folder, 'socket'));
  await once(server, 'listening');
  const near = connect(join(folder, 'socket'));
  const [far] = (await once(server, 'connection')) as [Socket];
  return {
    near,
    far,
    close: async () => {
      near.destroy();
      far.destroy();
      server.close();
      await rm(folder, { recursive: true });
    },
  };
}

type Step =
  | { readonly kind: 'message' | 'item'; readonly call: number; readonly value: unknown }
  | { readonly kind: 'frame'; readonly call: number; readonly bytes: number }
  | { readonly kind: 'turn' };

const call = fc.integer({ min: 1, max: 3 });
const value = fc.oneof(
  fc.integer(),
  fc.string({ maxLength: 200 }),
  fc.nat(200_000).map((bytes) => Buffer.alloc(bytes, bytes & 0xff)),
  fc.nat(100_000).map((length) => 'x'.repeat(length)),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('message' as const), call, value }) },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('item' as const), call, value: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('item' as const), call, value }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('frame' as const), call, bytes: fc.nat(300_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('turn' as const) }) },
);

void t.test('what is written arrives, in order and as it was', async (t) => {
  const { near, far, close } = await socketPair();
  t.teardown(close);
  const got: unknown[] = [];
  const reader = new FrameReader();
  let end: (() => void) | undefined;
  far.on('data', (chunk) => {
    reader.read(chunk, chunk.length, (frame) => {
      if (frame.type === FrameType.END) return end?.();
      const bytes = frame.buffer.subarray(frame.start, frame.end);
      const values = frame.type === FrameType.REQUEST ? [bytes.length] : decodeAll(frame);
      for (const value of values) got.push([frame.type, frame.call, value]);
    });
  });
  const writer = new SlabWriter(near);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 200, size: 'max' }), async (steps) => {
      const expected: unknown[] = [];
      got.length = 0;
      for (const step of steps) {
        switch (step.kind) {
          case 'turn':
            await new Promise((resolve) => setImmediate(resolve));
            break;
          case 'frame':
            writer.frame(FrameType.REQUEST, 0, 1, step.call, [Buffer.alloc(step.bytes)]);
            expected.push([FrameType.REQUEST, step.call, step.bytes]);
            break;
          case 'message':
          case 'item': {
            const type = step.kind === 'item' ? FrameType.ITEM : FrameType.RESPONSE;
            const left =
              step.kind === 'item'
                ? writer.item(1, step.call, step.value)
                : writer.message(type, 1, step.call, step.value);
            // What is too large for one frame comes back, and is sent by others in chunks.
            if (typeof left === 'object') assert(sizeOf(left) > 80 * 1024);
            else expected.push([type, step.call, step.value]);
            break;
          }
          default:
            step satisfies never;
        }
      }
      const ended = new Promise<void>((resolve) => (end = resolve));
      writer.frame(FrameType.END, 0, 1, 1);
      await ended;
      assert.deepEqual(got, expected);
    }),
    { numRuns: 60 },
  );
});

void t.test('items of one call share frames; others do not', async (t) => {
  const { near, far, close } = await socketPair();
  t.teardown(close);
  const writer = new SlabWriter(near);
  for (let n = 0; n < 10; n += 1) writer.item(1, 7, n);
  writer.item(1, 8, 'another call');
  writer.item(2, 8, 'another destination');
  writer.message(FrameType.RESPONSE, 2, 8, 'no item');
  writer.item(2, 8, 'not next to its like');
  const frames: number[] = [];
  const reader = new FrameReader();
  const [chunk] = (await once(far, 'data')) as [Buffer];
  reader.read(chunk, chunk.length, (frame) => frames.push(decodeAll(frame).length));
  t.same(frames, [10, 1, 1, 1, 1]);
});

void t.test('congestion ends when the other side reads, or is gone', async (t) => {
  for (const way of ['reads', 'is gone'] as const) {
    const { near, far, close } = await socketPair();
    t.teardown(close);
    near.on('error', () => undefined);
    const writer = new SlabWriter(near);
    let frames = 0;
    while (writer.congestion() === undefined) {
      writer.frame(FrameType.RESPONSE, 0, 1, 1, [Buffer.alloc(64 * 1024)]);
      writer.flush();
      frames += 1;
    }
    t.ok(frames > 4 && frames < 100, `it began after ${frames} frames`);
    t.ok(writer.backlogBytes > 0);
    const wait = writer.congestion();
    if (way === 'reads') far.resume();
    else far.destroy();
    await wait;
    t.pass(`and ended when the other side ${way}`);
  }
});

void t.test('slices of a message in pieces', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 5 }),
      fc.nat(100),
      fc.nat(100),
      (parts, from, length) => {
        const whole = Buffer.concat(parts);
        const slice = Buffer.concat(sliceOf(parts, from, from + length));
        assert.deepEqual(slice, Buffer.from(whole.subarray(from, from + length)));
      },
    ),
  );
});
