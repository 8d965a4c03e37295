import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync } from 'node:fs';
import path from 'node:path';
import type { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { pino } from 'pino';
import { History } from '../../../src/host/history.js';
import { hangingThreads, PreparedThread } from '../../../src/host/threads.js';
import { Workers } from '../../../src/host/workers.js';
import { client } from '../../../src/ipc/client.js';
import { structureOf } from '../../../src/workers/logs/structure.js';
import { poll } from '../../../src/lib/time.js';
import { Mesh } from '../fixtures/mesh.js';
import type { ProbeData } from '../fixtures/probe-worker.js';
import { probe } from '../fixtures/services.js';

const url = new URL('../fixtures/probe-worker.js', import.meta.url);

// The test runner loads a compiler into each thread first, which takes seconds on a busy machine, and memory.
const patienceMs = 15_000;

async function startWorkers(
  t: Test,
  data: () => ProbeData = () => ({}),
  stuckAfterMs = patienceMs,
  hangsAfterMs = patienceMs,
) {
  const mesh = await Mesh.start();
  const connection = await mesh.connect('main');
  const states: string[] = [];
  const messages: string[] = [];
  const logged: string[] = [];
  const hanging: string[] = [];
  let ends = 0;
  const history = new History(path.join(t.testdir(), 'restarts.jsonl'));
  const workers = new Workers({
    history,
    router: mesh.router,
    log: pino({}, { write: (line: string) => void logged.push(line) }),
    logOf: () => ({ level: 'silent' }),
    lastLines: () => {
      const run = ++ends;
      // They are read late.
      let reads = 0;
      return () => (++reads < 2 ? [] : [`the last of run ${run}`]);
    },
    stuckAfterMs,
    hangsAfterMs,
    onHanging: (name) => void hanging.push(name),
    onState: (name, { kind }, message) => {
      states.push(`${name} ${kind}`);
      messages.push(message);
    },
  });
  const add = (name: string, prepared?: PreparedThread) =>
    workers.add({ name, url, data, prepared, resourceLimits: { maxOldGenerationSizeMb: 256 } });
  t.teardown(async () => {
    await workers.stop();
    await mesh[Symbol.asyncDispose]();
  });
  const until = (what: string, probe: () => boolean) =>
    poll(() => probe() || undefined, { everyMs: 5, timeoutMs: 60_000, what });
  /** Waits until it serves for the given time. */
  const healthy = (times: number) =>
    until(
      `healthy ${times} times`,
      () => states.filter((state) => state === 'probe healthy').length === times,
    );
  return {
    ...{ workers, history, add, states, messages, logged, hanging, until, healthy },
    call: client(connection, probe),
  };
}

void t.test('a worker serves, and stops when it is told to', async (t) => {
  const { workers, add, states, logged, healthy, call } = await startWorkers(t);
  t.notOk(workers.isHealthy('probe'));
  add('probe');
  await healthy(1);
  t.ok(workers.isHealthy('probe'));
  t.match(await call.echo({ text: 'hello' }), { text: 'hello', source: 'main' });
  await workers.stop();
  t.same(states, ['probe starting', 'probe healthy', 'probe stopping', 'probe stopped']);
  t.match(
    logged.map((line) => JSON.parse(line) as object),
    [
      { level: 30, worker: 'probe', state: 'starting', msg: /^worker probe: / },
      { level: 30, worker: 'probe', state: 'healthy', msg: 'worker probe: healthy' },
      { level: 30, worker: 'probe', state: 'stopping', msg: 'worker probe: stopping' },
      { level: 30, worker: 'probe', state: 'stopped', msg: /^worker probe: / },
    ],
    'each change of its state is in the log',
  );
  t.equal(structureOf(logged[1] ?? '', Date.now()).subject, 'hamlet.probe', 'and an event');
});

void t.test(
  'a worker begins on the thread that was prepared for it, and starts again on another',
  async (t) => {
    const { add, healthy, call } = await startWorkers(t);
    const threads: Worker[] = [];
    const note = (thread: Worker): number => threads.push(thread);
    process.on('worker', note);
    t.teardown(() => process.off('worker', note));
    const prepared = new PreparedThread({ name: 'probe', url });
    add('probe', prepared);
    await healthy(1);
    t.equal(threads.length, 1);
    prepared[Symbol.dispose]();
    t.match(await call.echo({ text: 'hello' }), { text: 'hello' }, 'one that is in use goes on');
    await t.rejects(call.die({ how: 'throw' }), { code: 'UNAVAILABLE' });
    await healthy(2);
    t.equal(threads.length, 2);
  },
);

void t.test('a prepared thread that is gone is replaced', async (t) => {
  const { add, healthy } = await startWorkers(t);
  const missing = new PreparedThread({ name: 'probe', url: new URL('missing.js', url) });
  const [failed] = (await once(process, 'worker')) as [Worker];
  await t.rejects(once(failed, 'exit'), { code: 'MODULE_NOT_FOUND' });
  add('probe', missing);
  await healthy(1);
});

void t.test('a prepared thread that nobody wants ends', async () => {
  const prepared = new PreparedThread({ name: 'probe', url });
  const [worker] = (await once(process, 'worker')) as [Worker];
  prepared[Symbol.dispose]();
  await once(worker, 'exit');
});

for (const how of ['throw', 'reject', 'exit', 'memory'] as const) {
  const cause = {
    throw: /thrown on purpose/,
    reject: /rejected on purpose/,
    exit: /^exited with code 3/,
    memory: /^ran out of memory/,
  }[how];
  void t.test(`a worker that dies (${how}) is started again, and says of what it died`, async (t) => {
    const { add, history, messages, logged, until, healthy, call } = await startWorkers(t);
    add('probe');
    await healthy(1);
    await t.rejects(call.die({ how }), { code: 'UNAVAILABLE' });
    await healthy(2);
    t.ok(messages.some((message) => cause.test(message)));
    t.match(logged.join(''), /"level":50.*worker probe: /);
    t.match(await call.echo({ text: 'hello' }), { text: 'hello' }, 'callers find the new one');
    await until('its entry in the history', () => history.list('hamlet.probe', 0)[0]?.healthyMs != null);
    t.match(history.list('', 0), [{ message: cause, lastLines: ['the last of run 1'] }], { length: 1 });
  });
}

void t.test('a worker whose event loop does not turn is ended and started again', async (t) => {
  const { add, messages, healthy, call } = await startWorkers(t, () => ({}), 5_000);
  add('probe');
  await healthy(1);
  await t.rejects(call.block({ forMs: 60_000 }), { code: 'UNAVAILABLE' });
  await healthy(2);
  t.ok(messages.some((message) => /its event loop has not turned for \d+\.\d s/.test(message)));
});

void t.test('a worker that hangs in a system call is told of, and holds up no stop', async (t) => {
  const { workers, add, hanging, states, logged, until, healthy, call } = await startWorkers(
    ...[t, () => ({}), 5_000, 100],
  );
  const fifo = path.join(t.testdir(), 'fifo');
  execFileSync('mkfifo', [fifo]);
  add('probe');
  await healthy(1);
  void call.openFifo({ path: fifo }).catch(() => undefined);
  await until('that it hangs', () => hanging.length > 0);
  t.same([hanging, hangingThreads()], [['probe'], ['probe']]);
  t.match(logged.at(-1), /"level":60.*it hangs in a system call/);
  t.notMatch(states.join(), /backoff/, 'it cannot be started again');

  await workers.stop();
  t.equal(states.at(-1), 'probe stopped');
  t.same(hangingThreads(), ['probe'], 'who has stopped it can ask');
  // Opened for writing, the FIFO can be opened for reading.
  closeSync(openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK));
  await until('its end', () => hangingThreads().length === 0);
});

void t.test('a worker whose setup fails is tried again, later each time', async (t) => {
  let starts = 0;
  const { add, messages, until, healthy } = await startWorkers(t, () => ({ failSetup: ++starts < 3 }));
  add('probe');
  await until('the first failure', () =>
    messages.some((message) => message.includes('the setup has failed')),
  );
  await healthy(1);
  t.equal(starts, 3);
});

void t.test('what a worker is started with may be missing at first', async (t) => {
  let starts = 0;
  const { add, messages, healthy } = await startWorkers(t, () => {
    if (++starts === 1) throw new Error('no descriptor is left');
    return {};
  });
  add('probe');
  await healthy(1);
  t.ok(messages.some((message) => message.startsWith('no descriptor is left; next try in')));
});

void t.test('a stop ends a worker that is still setting itself up, and cancels a restart', async (t) => {
  const slow = await startWorkers(t, () => ({ setupMs: 60_000 }));
  slow.add('probe');
  await slow.workers.stop();
  t.equal(slow.states.at(-1), 'probe stopped');

  const failing = await startWorkers(t, () => ({ failSetup: true }));
  failing.add('probe');
  await failing.until('the failure', () => failing.states.includes('probe backoff'));
  await failing.workers.stop();
  t.equal(failing.states.at(-1), 'probe stopped');
});
