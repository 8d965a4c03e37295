import { getEventListeners } from 'node:events';
import t from 'tap';
import { abortable, deadline, formatDuration, poll, sleep } from '../../../src/lib/time.js';

const never = new AbortController().signal;

void t.test('a sleep ends with its time, or with the reason of its signal', async (t) => {
  const startMs = performance.now();
  await sleep(20, never);
  t.ok(performance.now() - startMs >= 19);
  const stop = new AbortController();
  const reason = new Error('enough');
  const waiting = sleep(60_000, stop.signal);
  stop.abort(reason);
  await t.rejects(waiting, reason);
  await t.rejects(sleep(60_000, stop.signal), reason, 'also when it was aborted before');
  t.equal(getEventListeners(never, 'abort').length, 0);
});

void t.test('a deadline aborts when its time is over, or with its parent', async (t) => {
  const parent = new AbortController();
  {
    using limit = deadline(5, parent.signal);
    await new Promise((resolve) => limit.signal.addEventListener('abort', resolve));
    t.match(limit.signal.reason, { code: 'DEADLINE_EXCEEDED', message: 'not within 5 ms' });
  }
  {
    using limit = deadline(60_000, parent.signal);
    t.notOk(limit.signal.aborted);
    parent.abort(new Error('enough'));
    t.match(limit.signal.reason, { message: 'enough' });
  }
  using late = deadline(60_000, parent.signal);
  t.match(late.signal.reason, { message: 'enough' });
});

void t.test('a deadline that is over leaves nothing behind in its parent', async (t) => {
  const parent = new AbortController();
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const before = timers();
  for (let wait = 0; wait < 3; wait++) {
    using limit = deadline(60_000, parent.signal);
    t.equal(getEventListeners(parent.signal, 'abort').length, 1);
    t.notOk(limit.signal.aborted);
  }
  t.equal(getEventListeners(parent.signal, 'abort').length, 0);
  t.equal(timers(), before);
});

void t.test('poll gives what its probe finds at last', async (t) => {
  let calls = 0;
  const options = { everyMs: 1, timeoutMs: 10_000, what: 'the third' };
  t.equal(await poll(() => (++calls === 3 ? 'found' : undefined), options), 'found');
  t.equal(calls, 3);
  t.equal(await poll(async () => null, options), null, 'anything but undefined is found');
  t.equal(await poll(() => false, options), false);
});

void t.test('a probe that throws is tried again, and its error becomes the cause', async (t) => {
  let calls = 0;
  const probe = () => {
    calls += 1;
    throw new Error(`failure ${calls}`);
  };
  const error: unknown = await poll(probe, { everyMs: 1, timeoutMs: 30, what: 'the answer' }).catch(
    (error: unknown) => error,
  );
  t.ok(calls > 1);
  t.match(error, {
    code: 'DEADLINE_EXCEEDED',
    message: 'the answer: not within 30 ms',
    cause: { message: `failure ${calls}` },
  });
});

void t.test(
  'the probe is told when the time is over, and what that did to it is not the cause',
  async (t) => {
    let calls = 0;
    const probe = async (signal: AbortSignal) => {
      calls += 1;
      if (calls === 1) throw new Error('the real trouble');
      await sleep(60_000, signal);
    };
    await t.rejects(poll(probe, { everyMs: 1, timeoutMs: 1_000, what: 'it' }), {
      code: 'DEADLINE_EXCEEDED',
      cause: { message: 'the real trouble' },
    });
    t.equal(calls, 2);
  },
);

void t.test('an abort ends a poll with the reason of the signal', async (t) => {
  const stop = new AbortController();
  const options = { everyMs: 60_000, timeoutMs: 60_000, signal: stop.signal, what: 'it' };
  const waiting = poll(() => undefined, options);
  stop.abort(new Error('enough'));
  await t.rejects(waiting, { message: 'enough' });
  await t.rejects(
    poll(() => t.fail('it was not to be called'), options),
    { message: 'enough' },
  );
  t.equal(getEventListeners(stop.signal, 'abort').length, 0);
});

void t.test('durations read well, also where one unit ends and the next begins', async (t) => {
  const words: readonly (readonly [number, string])[] = [
    [0, '0 ms'],
    [0.4, '0 ms'],
    [999.4, '999 ms'],
    [999.6, '1.0 s'],
    [5_449, '5.4 s'],
    [59_949, '59.9 s'],
    [59_951, '1 min 0 s'],
    [200_000, '3 min 20 s'],
    [119_600, '2 min 0 s'],
  ];
  for (const [ms, text] of words) t.equal(formatDuration(ms), text);
});

void t.test('a wait for a promise ends with it, or with the signal', async (t) => {
  const stop = new AbortController();
  t.equal(await abortable(Promise.resolve('done'), stop.signal), 'done');
  await t.rejects(abortable(Promise.reject(new Error('failed')), stop.signal), { message: 'failed' });
  t.equal(getEventListeners(stop.signal, 'abort').length, 0);
  const waiting = abortable(new Promise(() => undefined), stop.signal);
  stop.abort(new Error('enough'));
  await t.rejects(waiting, { message: 'enough' });
  await t.rejects(
    abortable(Promise.resolve('done'), stop.signal),
    { message: 'enough' },
    'also when it was before',
  );
});
