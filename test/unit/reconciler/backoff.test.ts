import fc from 'fast-check';
import t from 'tap';
import { Backoff, type BackoffLimits } from '../../../src/workers/reconciler/backoff.js';

const limits: BackoffLimits = { free: 2, firstMs: 100, maxMs: 1_000, quietMs: 10_000 };

/** A clock that stands still until it is moved. */
function testClock(random = 1) {
  const clock = { nowMs: 0, now: () => clock.nowMs, random: () => random };
  return clock;
}

void t.test('some tries are free, then the delay doubles up to its maximum', (t) => {
  const backoff = new Backoff(limits, testClock());
  const delays = Array.from({ length: 8 }, () => backoff.next());
  t.same(delays, [0, 0, 100, 200, 400, 800, 1_000, 1_000]);
  t.end();
});

void t.test('half of a delay is chance', (t) => {
  const shortest = new Backoff({ ...limits, free: 0 }, testClock(0));
  t.same([shortest.next(), shortest.next()], [50, 100]);
  t.end();
});

void t.test('after a quiet time the count starts anew, and not before', (t) => {
  const clock = testClock();
  const backoff = new Backoff(limits, clock);
  for (let i = 0; i < 4; i++) clock.nowMs += backoff.next();
  clock.nowMs += limits.quietMs - 1;
  t.notOk(backoff.isQuiet);
  t.equal(backoff.next(), 400);
  clock.nowMs += 400 + limits.quietMs;
  t.ok(backoff.isQuiet);
  t.equal(backoff.next(), 0);
  t.end();
});

void t.test('nothing was tried yet: that is quiet', (t) => {
  t.ok(new Backoff(limits, testClock()).isQuiet);
  t.end();
});

void t.test('however it is called, it stays within its limits and never hurries who does not stop', (t) => {
  // No pause in here is long enough to make tries free again.
  const pauses = fc.record({ pauseMs: fc.nat(2_000), random: fc.double({ min: 0, max: 1, noNaN: true }) });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(pauses, { minLength: 1, maxLength: 60 }), (tries) => {
        const clock = testClock();
        let index = 0;
        const backoff = new Backoff(limits, { now: clock.now, random: () => tries[index]?.random ?? 0 });
        return tries.every(({ pauseMs }, i) => {
          index = i;
          const delayMs = backoff.next();
          clock.nowMs += delayMs + pauseMs;
          if (i < limits.free) return delayMs === 0;
          return delayMs >= limits.firstMs / 2 && delayMs <= limits.maxMs;
        });
      }),
      { numRuns: 500 },
    ),
  );
  t.end();
});
