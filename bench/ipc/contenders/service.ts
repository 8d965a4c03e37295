import { threadId, isMainThread } from 'node:worker_threads';
import * as v from 'valibot';
import { client } from '../../../src/ipc/client.js';
import type { Connection } from '../../../src/ipc/connection.js';
import { service, stream, unary } from '../../../src/ipc/contract.js';
import { implement, type Implementation } from '../../../src/ipc/server.js';
import type { Caller } from '../contender.js';

const Message = v.strictObject({ id: v.number(), component: v.string(), line: v.string() });

/** What the mesh serves in the benchmark. */
export const bench = service('bench', {
  echo: unary(Message, Message),
  blob: unary(v.strictObject({ bytes: v.number() }), v.instance(Uint8Array<ArrayBufferLike>), {
    deadlineMs: 60_000,
  }),
  items: stream(v.strictObject({ count: v.number() }), v.strictObject({ n: v.number() })),
});

/** Served by a thread that never reads. */
export const stuck = service('stuck', {
  echo: unary(Message, Message, { deadlineMs: 500 }),
});

const blobs = new Map<number, Uint8Array>();

/** The same bytes for every answer of one size: making them is not what is measured. */
export function blobOf(bytes: number): Uint8Array {
  let blob = blobs.get(bytes);
  if (blob === undefined) {
    blob = new Uint8Array(bytes).fill(isMainThread ? 1 : threadId);
    blobs.set(bytes, blob);
  }
  return blob;
}

export const implementation: Implementation = implement(bench, {
  echo: (message) => message,
  blob: ({ bytes }) => blobOf(bytes),
  async *items({ count }) {
    for (let n = 0; n < count; n += 1) yield { n };
  },
});

/** The caller's side. */
export function callerOf(connection: Connection): Caller {
  const caller = client(connection, bench);
  return {
    echo: (message) => caller.echo(message),
    blob: (bytes) => caller.blob({ bytes }),
    items: async (count) => {
      let got = 0;
      for await (const { n } of caller.items({ count })) if (n === got) got += 1;
      return got;
    },
  };
}
