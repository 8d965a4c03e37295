import t from 'tap';
import { callBudget, connectionBudget, limits, Refusals } from '../../../src/workers/debug/limits.js';

void t.test('a caller has a burst and then a steady rate, and takes nothing from others', async (t) => {
  let nowMs = 0;
  const budget = callBudget(() => nowMs);
  const taken = (caller: string, tries: number) =>
    Array.from({ length: tries }, () => budget.take(caller)).filter((ok) => ok).length;
  t.equal(taken('a', 1_000), limits.burst);
  t.equal(taken('b', 1), 1);
  nowMs += 1_000;
  t.equal(taken('a', 1_000), limits.callsPerSecond);
  nowMs += 3_600_000;
  t.equal(taken('a', 1_000), limits.burst, 'no more than a burst is saved up');
});

void t.test(
  'more callers than one looks at each time are forgotten when their buckets are full',
  async (t) => {
    let nowMs = 0;
    const budget = connectionBudget(() => nowMs);
    const taken = () =>
      Array.from({ length: 2 * limits.connectionBurst }, () => budget.take('a')).filter((ok) => ok).length;
    t.equal(taken(), limits.connectionBurst);
    for (let address = 0; address < 10_000; address++) budget.take(`address ${address}`);
    nowMs += 1_000;
    t.equal(taken(), limits.connectionsPerSecond, 'what is not full is not forgotten');
    nowMs += 3_600_000;
    t.equal(taken(), limits.connectionBurst);
  },
);

void t.test('a refusal is logged once and summed up', async (t) => {
  let nowMs = 0;
  const lines: string[] = [];
  const refusals = new Refusals({ warn: (_fields, message) => lines.push(message) }, () => nowMs);
  for (let index = 0; index < 1_000; index++) refusals.note('a', 'a is refused');
  refusals.note('b', 'b is refused');
  t.same(lines, ['a is refused', 'b is refused']);
  nowMs += 60_000;
  refusals.note('a', 'a is refused');
  t.equal(lines[2], 'a is refused; 999 times more since the last line');
});
