import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { isHamletError } from '../../src/lib/errors.js';
import { defaultRingLimits } from '../../src/lib/ring/memory.js';
import { poll } from '../../src/lib/time.js';
import { LogNode } from './fixtures/log-node.js';

const manyLines = { ...defaultRingLimits, maxLines: 400_000, maxBytes: 64 * 1024 * 1024, pageBytes: 65_536 };

const shell = (script: string): readonly [string, ...string[]] => ['sh', '-c', script];
/** The process's state as in proc(5): R, S, T, … */
const stateOf = (child: ChildProcess) => /\) (\w)/.exec(readFileSync(`/proc/${child.pid}/stat`, 'utf8'))?.[1];

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const probe = async () => ((await isSo()) ? true : undefined);
  await poll(probe, { everyMs: 2, timeoutMs: 20_000, what });
}

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => String(from + i));

void t.test('lines in the order in which they were written, with their run and source', async (t) => {
  await using node = await LogNode.start({ components: ['etcd', 'kube.proxy'] });
  t.equal(await node.run('etcd', 1, shell('echo one; echo two; printf three')), 0);
  t.equal(await node.run('etcd', 2, shell('echo four >&2; printf "\\0\\377\\n" >&2; exit 7')), 7);
  await node.run('kube.proxy', 1, shell('echo other'));
  const lines = await node.tail('etcd');
  const first = lines[0]?.sequence ?? 0;
  t.same(
    lines.map(({ component, sequence, run, source, data }) => [
      component,
      sequence - first,
      run,
      source,
      Buffer.from(data).toString('latin1'),
    ]),
    [
      ['etcd', 0, 1, 'stdout', 'one'],
      ['etcd', 1, 1, 'stdout', 'two'],
      ['etcd', 2, 1, 'stdout', 'three'],
      ['etcd', 3, 2, 'stderr', 'four'],
      ['etcd', 4, 2, 'stderr', '\0\xff'],
    ],
  );
  for (const { atMs } of lines) t.ok(Math.abs(Date.now() - atMs) < 60_000);
  t.same(await node.text('etcd', 2), ['four', '\0\ufffd']);
  t.same(await node.text('kube.proxy', 10), ['other']);
});

void t.test('the ring holds the last 5,000 lines of a component that wrote many', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'] });
  await node.run('etcd', 1, ['seq', '1', '300000']);
  t.same(await node.text('etcd'), numbers(295_001, 300_000));
  t.same(await node.text('etcd', 3), ['299998', '299999', '300000']);
  const { rings } = await node.logs.stats({});
  t.match(rings, [{ component: 'etcd', lines: 5_000, written: 300_000 }]);
});

void t.test('an unknown component is NOT_FOUND and hears what there is', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'], own: ['hamlet'] });
  await t.rejects(node.tail('nosuch'), { code: 'NOT_FOUND', message: /nosuch.*etcd, hamlet/ });
  t.throws(() => node.pipes.openOutput('nosuch'), { code: 'NOT_FOUND' });
  t.throws(() => node.pipes.openOutput('hamlet'), { code: 'NOT_FOUND' });
});

void t.test('the pipes belong to their owner alone', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'] });
  const dir = join(node.folder, 'pipes');
  t.equal(statSync(dir).mode & 0o777, 0o700);
  t.same(readdirSync(dir).sort(), ['etcd.stderr', 'etcd.stdout']);
  for (const file of readdirSync(dir)) t.equal(statSync(join(dir, file)).mode & 0o777, 0o600);
});

void t.test(
  'each line belongs to the run that wrote it, however quickly one follows the other',
  async (t) => {
    await using node = await LogNode.start({ components: ['etcd'], limits: manyLines });
    for (let run = 1; run <= 60; run += 1) {
      // A burst up to the very end, and a last line without a newline.
      await node.run(
        'etcd',
        run,
        shell(`seq -f "${run} %g" 500; seq -f "${run} %g" 500 >&2; printf "${run} end"`),
      );
    }
    const lines = await node.tail('etcd');
    t.equal(lines.length, 60 * 1_001);
    const strangers = lines.filter(({ run, data }) => !Buffer.from(data).toString().startsWith(`${run} `));
    t.same(strangers, []);
  },
);

void t.test(
  'the reader dies again and again under load: every line is there, once and in order',
  async (t) => {
    const components = ['c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7'];
    await using node = await LogNode.start({ components, limits: manyLines });
    const descriptors = () => readdirSync('/proc/self/fd').length;
    const count = 250_000;
    const writers = components.map((name, i) =>
      // Half of them write line by line, half in blocks.
      node.spawn(name, 1, i % 2 === 0 ? shell(`seq ${count} >&2`) : ['stdbuf', '-oL', 'seq', String(count)]),
    );
    const exits = Promise.all(writers.map((child) => once(child, 'exit')));
    const before = descriptors();
    let deaths = 0;
    const isDone = () => writers.every((child) => child.exitCode !== null);
    for (; !isDone(); deaths += 1) {
      await node.killReader();
      await node.startReader();
      await delay(Math.random() * 20);
    }
    await exits;
    for (const name of components) t.ok(await node.pipes.endRun(name));
    t.ok(deaths >= 5, `${deaths} deaths`);
    t.equal(descriptors(), before);
    for (const name of components) {
      const text = await node.text(name);
      t.equal(text.length, count, name);
      t.equal(
        text.findIndex((line, i) => line !== String(i + 1)),
        -1,
        name,
      );
    }
  },
);

void t.test('without a reader a component waits, and fails in nothing', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'], limits: manyLines });
  await node.killReader();
  const child = node.spawn('etcd', 1, ['seq', '100000']);
  const exit = once(child, 'exit');
  // 64 KiB are in the pipe, and seq sleeps.
  await until('seq sleeps', () => stateOf(child) === 'S');
  t.equal(child.exitCode, null);
  await node.startReader();
  t.same(await exit, [0, null]);
  t.ok(await node.pipes.endRun('etcd'));
  t.same(await node.text('etcd'), numbers(1, 100_000));
});

void t.test('a run that ends without a reader does not tear the next one', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'] });
  await node.killReader();
  await once(node.spawn('etcd', 1, shell('echo one; printf t')), 'exit');
  t.notOk(await node.pipes.endRun('etcd', 20), 'nobody drains it');
  const child = node.spawn('etcd', 2, shell('printf wo; kill -STOP $$; echo !'));
  await until('the stop', () => stateOf(child) === 'T');
  await node.startReader();
  await until('the first line', async () => (await node.text('etcd')).length === 1);
  child.kill('SIGCONT');
  await once(child, 'exit');
  t.ok(await node.pipes.endRun('etcd'));
  t.same(await node.text('etcd'), ['one', 'two!']);
});

void t.test('what is read when the next run has been begun already is of the last one', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'] });
  await node.killReader();
  await once(node.spawn('etcd', 1, shell('echo one; printf two')), 'exit');
  const drained = node.pipes.endRun('etcd');
  node.pipes.adopt('etcd', 2, drained);
  await node.startReader();
  t.ok(await drained);
  await once(node.spawn('etcd', 2, shell('echo three')), 'exit');
  t.ok(await node.pipes.endRun('etcd'));
  const lines = (await node.tail('etcd')).map(({ run, data }) => `${run} ${Buffer.from(data).toString()}`);
  t.same(lines, ['1 one', '1 two', '2 three']);
  t.equal(node.pipes.lastRun('etcd'), 2);
});

void t.test('who asks for the last lines of an ended run gets all of them', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'] });
  await once(node.spawn('etcd', 1, shell('seq 999; printf end')), 'exit');
  const drained = node.pipes.endRun('etcd');
  t.equal((await node.text('etcd')).at(-1), 'end');
  t.ok(await drained);
});

void t.test('a component outlives Hamlet, and what it wrote meanwhile is read by the next run', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'], limits: manyLines });
  const child = node.spawn(
    'etcd',
    4,
    shell('echo before; kill -STOP $$; seq 1000; kill -STOP $$; echo after'),
  );
  const exit = once(child, 'exit');
  const stopped = () => until(`the state of ${child.pid}`, () => stateOf(child) === 'T');
  await stopped();
  await until('the first line', async () => (await node.text('etcd')).length === 1);
  const [old] = await node.tail('etcd');
  await node.killReader();
  await node.reopen(async () => {
    child.kill('SIGCONT');
    await until('the second stop', () => stateOf(child) !== 'T');
    await stopped();
  });
  node.pipes.adopt('etcd', 4);
  await node.startReader();
  child.kill('SIGCONT');
  await exit;
  t.ok(await node.pipes.endRun('etcd'));
  const lines = await node.tail('etcd');
  t.equal(lines.length, 1_001);
  t.ok((lines[0]?.sequence ?? 0) > (old?.sequence ?? Infinity), 'no number comes again');
  t.equal(lines[0]?.run, 4);
});

void t.test('each start of a thread is a run of its log, across starts of Hamlet too', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'], own: ['hamlet.logs'] });
  const say = async (text: string): Promise<void> => {
    const { fd } = node.pipes.threadLog('hamlet.logs');
    // A thread takes longer to load than the worker to see that the one before has ended.
    t.ok(await node.pipes.endRun('hamlet.logs'));
    writeSync(fd, `${text} begins\n`);
    writeSync(fd, `${text} ends\n`);
  };
  await say('first');
  await until('two lines', async () => (await node.tail('hamlet.logs')).length === 2);
  // As when it is the logs worker itself: its last words are in the pipe, and its successor reads them.
  const dead = node.pipes.threadLog('hamlet.logs').fd;
  await until('the end of the first run', async () => (await node.tail('hamlet.logs')).length === 2);
  await node.killReader();
  writeSync(dead, 'last words\n');
  node.pipes.threadLog('hamlet.logs');
  await node.startReader();
  await until('three lines', async () => (await node.tail('hamlet.logs')).length === 3);
  await say('fourth');
  await until('five lines', async () => (await node.tail('hamlet.logs')).length === 5);
  t.same(
    (await node.tail('hamlet.logs')).map(({ run }) => run),
    [1, 1, 2, 4, 4],
  );
  await node.killReader();
  await node.reopen(async () => {});
  await node.startReader();
  await say('fifth');
  await until('two lines', async () => (await node.tail('hamlet.logs')).length === 2);
  t.same(
    (await node.tail('hamlet.logs')).map(({ run }) => run),
    [5, 5],
  );
});

void t.test('one that never stops writing takes nothing from the others', async (t) => {
  await using node = await LogNode.start({ components: ['loud', 'quiet'] });
  node.spawn('loud', 1, ['yes', 'x'.repeat(99)]);
  await until('the flood', async () => (await node.tail('loud', 1)).length > 0);
  for (let run = 1; run <= 20; run += 1) {
    t.equal(await node.run('quiet', run, shell('echo here')), 0);
    t.equal((await node.tail('quiet')).length, run);
  }
  const stateOfLoud = async () => {
    const { rings } = await node.logs.stats({}, { deadlineMs: 1_000 });
    return rings.find((ring) => ring.component === 'loud');
  };
  await until('100,000 lines', async () => ((await stateOfLoud())?.written ?? 0) > 100_000);
  const loud = await stateOfLoud();
  t.ok((loud?.bytes ?? Infinity) < 2 * 1024 * 1024, `${loud?.bytes} bytes`);
  const last = await node.tail('loud');
  t.equal(last.length, 5_000);
  t.ok(last.every((line, i) => line.sequence === (last[0]?.sequence ?? 0) + i));
});

void t.test('a stopped reader closes what it has opened', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'] });
  const before = readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 5; i += 1) {
    await node.stopReader();
    await node.startReader();
  }
  t.equal(readdirSync('/proc/self/fd').length, before);
  t.ok(isHamletError(await node.tail('x').catch((error: unknown) => error), 'NOT_FOUND'));
});
