/* eslint @typescript-eslint/no-unsafe-assignment: off, @typescript-eslint/no-unsafe-return: off,
   @typescript-eslint/no-unsafe-call: off, @typescript-eslint/await-thenable: off -- what is wrong here is meant to be */
import t from 'tap';
import * as v from 'valibot';
import type { Client, Handlers } from '../../../src/ipc/contract.js';
import { service, stream, unary } from '../../../src/ipc/contract.js';
import { implement } from '../../../src/ipc/server.js';

/*
 * What follows is checked by the compiler: each line under a @ts-expect-error has to be an error, or the type
 * check fails. The functions are never called.
 */
const greeter = service('greeter', {
  greet: unary(v.strictObject({ name: v.string() }), v.strictObject({ text: v.string() })),
  count: stream(v.strictObject({ to: v.number() }), v.strictObject({ n: v.number() })),
});

const right: Handlers<typeof greeter> = {
  greet: ({ name }, { source }) => ({ text: `${name} ${source}` }),
  async *count({ to }, { signal }) {
    for (let n = 0; n < to && !signal.aborted; n += 1) yield { n };
  },
};
const { greet, count } = right;

export const servers = [
  () => implement(greeter, right),
  () => implement(greeter, { greet: async ({ name }) => ({ text: name }), count }),
  // @ts-expect-error a handler is missing
  () => implement(greeter, { greet }),
  // @ts-expect-error a handler that the contract does not know
  () => implement(greeter, { greet, count, other: () => ({}) }),
  // @ts-expect-error the response has the wrong type
  () => implement(greeter, { greet: () => ({ text: 5 }), count }),
  // @ts-expect-error so does the promise of one
  () => implement(greeter, { greet: async () => ({ text: 5 }), count }),
  // @ts-expect-error the response lacks a field
  () => implement(greeter, { greet: () => ({}), count }),
  // @ts-expect-error the request has no such field
  () => implement(greeter, { greet: ({ nam }) => ({ text: nam }), count }),
  // @ts-expect-error a stream's handler gives an iterable, not an item
  () => implement(greeter, { greet, count: () => ({ n: 5 }) }),
  () =>
    implement(greeter, {
      greet,
      // @ts-expect-error the items have the wrong type
      async *count() {
        yield { n: 'five' };
      },
    }),
];

export const callers = [
  async (client: Client<typeof greeter>): Promise<string> => (await client.greet({ name: 'x' })).text,
  async (client: Client<typeof greeter>, signal: AbortSignal): Promise<number> => {
    for await (const { n } of client.count({ to: 5 }, { signal, deadlineMs: 5 })) return n;
    return 0;
  },
  // @ts-expect-error the request has the wrong type
  (client: Client<typeof greeter>) => client.greet({ name: 5 }),
  // @ts-expect-error the request lacks a field
  (client: Client<typeof greeter>) => client.greet({}),
  // @ts-expect-error the request has no such field
  (client: Client<typeof greeter>) => client.greet({ name: 'x', more: 1 }),
  // @ts-expect-error the service has no such method
  (client: Client<typeof greeter>) => client.leave({}),
  // @ts-expect-error the response has no such field
  async (client: Client<typeof greeter>) => (await client.greet({ name: 'x' })).nosuch,
  // @ts-expect-error a unary method gives no stream
  async (client: Client<typeof greeter>) => client.greet({ name: 'x' })[Symbol.asyncIterator],
  // @ts-expect-error a stream is not awaited
  async (client: Client<typeof greeter>) => (await client.count({ to: 5 })).n,
  // @ts-expect-error an option that does not exist
  (client: Client<typeof greeter>) => client.greet({ name: 'x' }, { deadline: 5 }),
];

void t.test('what the types cannot see is found when a service is put together', async (t) => {
  const incomplete = { greet } as typeof right;
  t.throws(() => implement(greeter, incomplete), { message: 'greeter.count has no handler' });
  t.equal(implement(greeter, right).service, 'greeter');
});
