import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { Splitter } from '../../../src/host/splitter.js';
import {
  type Frame,
  FrameReader,
  FrameType,
  HEADER_BYTES,
  makeFrame,
  MAX_BODY_BYTES,
  Offset,
} from '../../../src/ipc/frame.js';

interface Sent {
  readonly type: FrameType;
  readonly flags: number;
  readonly destination: number;
  readonly rest: number;
  readonly call: number;
  readonly body: Buffer;
}

const sent: fc.Arbitrary<Sent> = fc.record(
  {
    // Everything but HELLO, which a router takes only once.
    type: fc.constantFrom(...Object.values(FrameType).filter((type) => type !== FrameType.HELLO)),
    flags: fc.nat(255),
    destination: fc.integer({ min: 1, max: 3 }),
    rest: fc.nat(65_535),
    call: fc.nat(0xffff_ffff),
    body: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
  },
  { noNullPrototype: true },
);

function bytesOf(frames: readonly Sent[]): Buffer {
  return Buffer.concat(
    frames.map(({ type, flags, destination, rest, call, body }) => {
      const frame = makeFrame(type, flags, 0, destination, call, body);
      frame.writeUInt16BE(rest, Offset.REST);
      return frame;
    }),
  );
}

/** Cuts `bytes` at these places, each a share of the length. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [
    0,
    ...places.map((place) => Math.floor(place * bytes.length)).sort((a, b) => a - b),
    bytes.length,
  ];
  // Each chunk gets memory of its own, as from a socket.
  return at.slice(1).map((end, index) => Buffer.from(bytes.subarray(at[index], end)));
}

const places = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 });

function copyOf(frame: Frame): Sent {
  const { type, flags, destination, rest, call, buffer, start, end } = frame;
  return { type, flags, destination, rest, call, body: Buffer.from(buffer.subarray(start, end)) };
}

void t.test('a reader finds the frames wherever the stream is cut', async () => {
  fc.assert(
    fc.property(fc.array(sent, { maxLength: 20 }), places, (frames, places) => {
      const reader = new FrameReader();
      const got: Sent[] = [];
      // One buffer for all chunks, as a connection has it.
      const shared = Buffer.alloc(4_096);
      for (const chunk of cut(bytesOf(frames), places)) {
        chunk.copy(shared);
        reader.read(shared, chunk.length, (frame) => got.push(copyOf(frame)));
        shared.fill(0xff);
      }
      assert.deepEqual(got, frames);
    }),
    { numRuns: 500 },
  );
});

void t.test('a splitter passes every frame on, in order, whole and stamped', async () => {
  const options = {
    maxBodyBytes: 1_000,
    hello: () => assert.fail('a HELLO'),
    fault: (fault: string) => assert.fail(fault),
  };
  fc.assert(
    fc.property(fc.array(sent, { maxLength: 20 }), places, (frames, places) => {
      const got: Sent[] = [];
      const splitter = new Splitter({
        ...options,
        run: (destination, requests, parts, count) => {
          let frames = 0;
          const run = Buffer.concat(parts);
          new FrameReader().read(run, run.length, (frame) => {
            frames += 1;
            assert.equal(frame.source, 0x0102);
            assert.equal(frame.destination, destination);
            assert.equal(frame.type === FrameType.REQUEST, requests);
            got.push(copyOf(frame));
          });
          assert.equal(frames, count, 'nothing but whole frames');
        },
      });
      splitter.open(0x0102);
      for (const chunk of cut(bytesOf(frames), places)) splitter.read(chunk);
      assert.deepEqual(got, frames);
    }),
    { numRuns: 500 },
  );
});

void t.test('a reader stops at a header that cannot be one', async (t) => {
  const good = makeFrame(FrameType.REQUEST, 0, 0, 1, 1, Buffer.from('good'));
  const long = makeFrame(FrameType.REQUEST, 0, 0, 1, 2, Buffer.alloc(0));
  long.writeUInt32BE(MAX_BODY_BYTES + 1, Offset.LENGTH);
  const unknown = makeFrame(FrameType.REQUEST, 0, 0, 1, 2, Buffer.alloc(0));
  unknown[Offset.TYPE] = 99;
  for (const [bad, message] of [
    [long, /over the limit/],
    [unknown, /type 99/],
  ] as const) {
    for (const step of [1, HEADER_BYTES, 1_000]) {
      const bytes = Buffer.concat([good, bad, good]);
      const reader = new FrameReader();
      let frames = 0;
      const read = () => {
        for (let at = 0; at < bytes.length; at += step) {
          const chunk = bytes.subarray(at, at + step);
          reader.read(chunk, chunk.length, () => (frames += 1));
        }
      };
      t.throws(read, { code: 'INVALID_ARGUMENT', message });
      t.equal(frames, 1, 'what came before it counts');
      reader.read(good, good.length, () => (frames += 1));
      t.equal(frames, 1, 'nothing is read any more');
    }
  }
});

void t.test('the sink may stop the reader', async (t) => {
  const frame = makeFrame(FrameType.END, 0, 0, 1, 1, Buffer.alloc(0));
  const both = Buffer.concat([frame, frame]);
  const reader = new FrameReader();
  let frames = 0;
  reader.read(both, both.length, () => {
    frames += 1;
    reader.stop();
  });
  t.equal(frames, 1);
});
