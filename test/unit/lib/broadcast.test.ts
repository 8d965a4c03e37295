import { getEventListeners } from 'node:events';
import t from 'tap';
import { Broadcast, maxLag } from '../../../src/lib/broadcast.js';

const never = new AbortController().signal;

async function take<T>(values: AsyncIterator<T, undefined>, count: number): Promise<(T | undefined)[]> {
  const taken: (T | undefined)[] = [];
  for (let index = 0; index < count; index++) taken.push((await values.next()).value);
  return taken;
}

void t.test(
  'every subscriber gets every value that is sent from its subscription on, in order',
  async (t) => {
    const broadcast = new Broadcast<number>();
    broadcast.send(0);
    using early = broadcast.subscribe(never);
    broadcast.send(1);
    using late = broadcast.subscribe(never);
    broadcast.send(2);
    t.same(await take(early, 2), [1, 2]);
    t.same(await take(late, 1), [2]);
  },
);

void t.test('who waits is woken by the next value', async (t) => {
  const broadcast = new Broadcast<number>();
  using values = broadcast.subscribe(never);
  const both = Promise.all([values.next(), values.next()]);
  broadcast.send(1);
  broadcast.send(2);
  broadcast.send(3);
  t.same(await both, [
    { done: false, value: 1 },
    { done: false, value: 2 },
  ]);
  t.same(await take(values, 1), [3]);
});

void t.test('an abort ends the iteration, whether it waits or has more to read', async (t) => {
  const broadcast = new Broadcast<number>();
  const stop = new AbortController();
  const waiting = broadcast.subscribe(stop.signal);
  const next = waiting.next();
  const reading = broadcast.subscribe(stop.signal);
  stop.abort();
  t.same(await next, { done: true, value: undefined });
  broadcast.send(1);
  t.same(await reading.next(), { done: true, value: undefined });
  t.same(await broadcast.subscribe(stop.signal).next(), { done: true, value: undefined });
});

void t.test('one that lags too far behind is cut off, alone, after what it was sent before', async (t) => {
  const broadcast = new Broadcast<number>();
  using slow = broadcast.subscribe(never);
  using quick = broadcast.subscribe(never);
  for (let value = 0; value < maxLag; value++) {
    broadcast.send(value);
    await quick.next();
  }
  broadcast.send(maxLag);
  broadcast.send(maxLag + 1);
  t.same(await take(quick, 2), [maxLag, maxLag + 1]);
  t.same((await take(slow, maxLag)).at(-1), maxLag - 1);
  await t.rejects(slow.next(), { code: 'RESOURCE_EXHAUSTED' });
  t.same(await slow.next(), { done: true, value: undefined }, 'it fails once');
});

void t.test('one that is just as far behind as it may be misses nothing', async (t) => {
  const broadcast = new Broadcast<number>();
  using values = broadcast.subscribe(never);
  for (let value = 0; value < maxLag; value++) broadcast.send(value);
  await values.next();
  broadcast.send(maxLag);
  t.equal((await take(values, maxLag)).at(-1), maxLag);
});

void t.test('who leaves is forgotten, also before the first value', async (t) => {
  const broadcast = new Broadcast<number>();
  const stop = new AbortController();
  for (const leave of ['return', 'dispose', 'break'] as const) {
    const values = broadcast.subscribe(stop.signal);
    broadcast.send(1);
    if (leave === 'return') await values.return();
    else if (leave === 'dispose') values[Symbol.dispose]();
    else for await (const _ of values) break;
    broadcast.send(2);
    t.same(await values.next(), { done: true, value: undefined }, leave);
    t.equal(getEventListeners(stop.signal, 'abort').length, 0, 'its signal is left alone');
  }
});

void t.test('a value sent to nobody is no error', async (t) => {
  t.doesNotThrow(() => new Broadcast<number>().send(1));
});
