import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import type { FollowRequest, LogRecord } from '../../src/ipc/services/logs.js';
import { defaultRingLimits, sequencesPerStart } from '../../src/lib/ring/memory.js';
import { collect, everything, Reader, textOf } from './fixtures/follow.js';
import { LogNode } from './fixtures/log-node.js';

const manyLines = { ...defaultRingLimits, maxLines: 400_000, maxBytes: 64 * 1024 * 1024, pageBytes: 65_536 };
const shell = (script: string): readonly [string, ...string[]] => ['sh', '-c', script];

/** Reads until `isEnough`. */
async function readUntil(reader: Reader, isEnough: () => boolean): Promise<void> {
  while (!isEnough()) if (!(await reader.read())) throw new Error('the stream has ended');
}

void t.test('history first, then what comes, nothing twice or missing between the two', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'], limits: manyLines });
  const count = 30_000;
  const exit = once(node.spawn('etcd', 1, ['seq', String(count)]), 'exit');
  const readers = [];
  while ((readers.at(-1)?.lines.length ?? 0) < 1 || readers.length < 6) {
    const reader = new Reader({ components: ['etcd'] });
    await reader.open(node.logs);
    await reader.read();
    readers.push(reader);
  }
  await exit;
  for (const reader of readers) {
    await readUntil(reader, () => reader.lines.length >= count);
    await reader.close();
    t.equal(
      reader.lines.findIndex((line, i) => textOf(line) !== String(i + 1)),
      -1,
    );
    t.same(reader.gaps, []);
  }
});

void t.test('several components in the order of arrival', async (t) => {
  const components = ['etcd', 'kube.proxy', 'containerd'];
  await using node = await LogNode.start({ components });
  const live = new Reader({ components });
  await live.open(node.logs);
  const written: string[] = [];
  for (let i = 0; i < 30; i += 1) {
    const name = components[(i * 7) % 3] ?? '';
    await node.run(name, i + 1, shell(`echo ${i}`));
    written.push(String(i));
  }
  await readUntil(live, () => live.lines.length >= written.length);
  t.same(live.lines.map(textOf), written);
  await live.close();
  t.same((await collect(node.logs, { components })).map(textOf), written);
  t.same((await collect(node.logs, { components, tail: 4 })).map(textOf), written.slice(-4));
  const times = live.lines.map(({ monotonicUs }) => monotonicUs);
  t.same(
    times,
    times.toSorted((a, b) => a - b),
    'which is that of the monotonic clock',
  );
  const nowUs = Number(process.hrtime.bigint() / 1_000n);
  t.ok(times.every((us) => us > nowUs - 600e6 && us <= nowUs));
});

void t.test('the last lines of several logs are as many as were asked for', async (t) => {
  const components = ['etcd', 'containerd'];
  await using node = await LogNode.start({ components });
  // The lines of one read have all arrived at the same time.
  await node.run('etcd', 1, ['seq', '1', '50']);
  await node.run('containerd', 1, ['seq', '51', '100']);
  const written = Array.from({ length: 100 }, (_, i) => String(i + 1));
  for (const tail of [0, 1, 3, 49, 50, 51, 60, 99, 100, 101]) {
    const last = (await collect(node.logs, { components, tail })).map(textOf);
    t.same(last, tail === 0 ? [] : written.slice(-tail), `the last ${tail}`);
  }
  const filtered = { components, tail: 3, text: '5' };
  t.same((await collect(node.logs, filtered)).map(textOf), ['75', '85', '95']);
});

void t.test('a subtree is what is behind the dot', async (t) => {
  const components = ['kube.proxy', 'kube.kubelet', 'kubelet', 'kube-proxy', 'hamlet', 'hamlet.logs'];
  await using node = await LogNode.start({ components });
  const chosen = async (...asked: string[]): Promise<string[]> => {
    const live = new Reader({ components: asked });
    await live.open(node.logs);
    for (const [run, name] of components.entries()) await node.run(name, run + 1, shell(`echo ${name}`));
    const held = (await collect(node.logs, { components: asked })).map(textOf);
    await readUntil(live, () => live.lines.length >= held.length);
    await live.close();
    t.same(live.lines.map(textOf), held);
    return [...new Set(held)];
  };
  t.same(await chosen('kube'), ['kube.proxy', 'kube.kubelet']);
  t.same(await chosen('kubelet'), ['kubelet']);
  t.same(await chosen('hamlet'), ['hamlet']);
  t.same(await chosen('hamlet.*', 'kube.*'), ['kube.proxy', 'kube.kubelet', 'hamlet.logs']);
  await t.rejects(chosen('kub'), { code: 'NOT_FOUND', message: /no log of kub; there are kube\.proxy/ });
  await t.rejects(chosen('kubelet.*'), { code: 'NOT_FOUND' });
});

void t.test('a filter holds for what is held and for what comes', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'] });
  const script = `echo 'I1123 14:00:00.000000 1 a.go:1] one apple'
    echo 'E1123 14:00:00.000000 1 b.go:22] two apples'
    echo '{"level":"warn","ts":"2026-11-23T14:00:00.000Z","caller":"c/d.go:3","msg":"three (3)"}'
    echo 'time="2026-11-23T14:00:00Z" level=fatal msg="four"'
    echo plain apple; printf 'panic: \\377'`;
  const filters: readonly [Partial<FollowRequest>, readonly number[]][] = [
    [{}, [0, 1, 2, 3, 4, 5]],
    [{ minSeverity: 'warn' }, [1, 2, 3, 5]],
    [{ minSeverity: 'fatal' }, [3, 5]],
    [{ text: 'apple' }, [0, 1, 4]],
    [{ text: '(3)' }, [2]],
    [{ pattern: 'apples?$' }, [0, 1, 4]],
    [{ pattern: '^(I|plain)', text: 'apple', minSeverity: 'info' }, [0, 4]],
    [{ sinceMs: Date.now() + 3_600_000 }, []],
    [{ sinceMs: Date.now() - 3_600_000, untilMs: Date.now() + 3_600_000 }, [0, 1, 2, 3, 4, 5]],
  ];
  await node.run('etcd', 1, shell(script));
  const all = (await collect(node.logs, { components: ['etcd'] })).map(textOf);
  t.equal(all.length, 6);
  const live = await Promise.all(
    filters.map(async ([filter]) => {
      const reader = new Reader({ components: ['etcd'], ...filter });
      await reader.open(node.logs);
      return reader;
    }),
  );
  await node.run('etcd', 2, shell(script));
  for (const [i, [filter, wanted]] of filters.entries()) {
    const expected = wanted.map((line) => all[line]);
    const reader = live[i];
    if (reader === undefined) continue;
    const held = await collect(node.logs, { components: ['etcd'], ...filter });
    t.same(held.map(textOf), [...expected, ...expected], JSON.stringify(filter));
    // The position tells that a reader has seen all of it, whether it was given anything or not.
    const end = (await node.tail('etcd', 1))[0]?.sequence ?? 0;
    await readUntil(reader, () => (reader.positions[0]?.next ?? 0) > end);
    t.same(reader.lines.map(textOf), held.map(textOf));
    await reader.close();
    const tail = await collect(node.logs, { components: ['etcd'], ...filter, tail: 2 });
    t.same(tail.map(textOf), held.map(textOf).slice(-2));
  }
});

void t.test('a filter holds for a subtree, for several logs and for events, held and to come', async (t) => {
  const components = ['kube.apiserver', 'kube.proxy', 'etcd', 'kubelet', 'hamlet', 'hamlet.reconciler'];
  await using node = await LogNode.start({ components });
  const klog = (letter: string, text: string) => `${letter}1123 14:00:00.000000 1 a.go:1] ${text}`;
  const own = (level: number, fields: object) => JSON.stringify({ level, time: 1, ...fields });
  const written: readonly (readonly [string, string])[] = [
    ['kube.apiserver', klog('I', 'red one')],
    ['etcd', '{"level":"error","msg":"red two"}'],
    ['kube.proxy', klog('E', 'red three')],
    ['kubelet', klog('E', 'red four')],
    ['kube.apiserver', klog('W', 'blue five')],
    ['hamlet.reconciler', own(30, { object: 'ClusterRole hamlet:x', msg: 'red six' })],
    ['hamlet.reconciler', own(40, { object: 'ClusterRole hamlet:x', msg: 'blue seven' })],
    ['hamlet.reconciler', own(50, { msg: 'red eight, of no object' })],
    ['hamlet', own(40, { component: 'kube.proxy', cause: 'x', msg: 'red nine' })],
    ['hamlet', own(30, { worker: 'reconciler', state: 'healthy', msg: 'red ten' })],
    ['etcd', 'plain red eleven'],
    ['kube.proxy', 'plain blue twelve'],
  ];
  const kinds: readonly (readonly [Partial<FollowRequest>, readonly number[]])[] = [
    [{ components: ['kube'] }, [1, 3, 5, 12]],
    [{ components: ['kube'], minSeverity: 'warn' }, [3, 5]],
    [{ components: ['kube.*'], text: 'red' }, [1, 3]],
    [{ components: ['kube'], pattern: '^I.*red|twelve$' }, [1, 12]],
    [{ components: ['etcd', 'kubelet'], minSeverity: 'warn' }, [2, 4]],
    [{ components: ['kube.proxy', 'etcd'], text: 'red' }, [2, 3, 11]],
    [{ components: ['kube'], events: true }, [1, 3, 5, 6, 7, 9, 12]],
    [{ components: ['kube.apiserver'], events: true, minSeverity: 'warn' }, [5, 7]],
    [{ components: ['kube.apiserver'], events: true, text: 'red' }, [1, 6]],
    [{ components: ['kube.proxy'], events: true, text: 'red', minSeverity: 'warn' }, [3, 9]],
    [{ components: ['etcd'], events: true }, [2, 11]],
    [{ components: ['hamlet.*'], events: true }, [6, 7, 8, 10]],
    [{ components, events: true, pattern: 'red (six|ten)' }, [6, 10]],
  ];
  let run = 0;
  const writeAll = async (): Promise<void> => {
    for (const [name, line] of written) {
      run += 1;
      await node.run(name, run, ['printf', '%s\\n', line]);
    }
  };
  await writeAll();
  const followers = await Promise.all(
    kinds.map(async ([request]) => {
      const reader = new Reader(request);
      await reader.open(node.logs);
      return reader;
    }),
  );
  await writeAll();
  for (const [i, [request, wanted]] of kinds.entries()) {
    const what = JSON.stringify(request);
    const once = wanted.map((number) => written[number - 1]?.join(' '));
    const texts = (records: readonly LogRecord[]) =>
      records.map((record) => `${record.component} ${textOf(record)}`);
    t.same(texts(await collect(node.logs, request)), [...once, ...once], `held: ${what}`);
    const tail = await collect(node.logs, { ...request, tail: once.length + 1 });
    t.same(texts(tail), [once.at(-1), ...once], `the last ones: ${what}`);
    const follower = followers[i];
    if (follower === undefined) continue;
    // Whatever comes beside what is wanted would have to be here when all logs have been read to their ends.
    const ends = await Promise.all(
      follower.positions.map(async ({ component }) => (await node.tail(component, 1))[0]),
    );
    const isAtEnd = () =>
      ends.every((last) => {
        const position = follower.positions.find(({ component }) => component === last?.component);
        return (position?.next ?? 0) > (last?.sequence ?? Infinity);
      });
    await readUntil(follower, isAtEnd);
    await follower.close();
    t.same(texts(follower.lines), [...once, ...once], `followed: ${what}`);
  }
});

void t.test('one run, or the one before', async (t) => {
  await using node = await LogNode.start({ components: ['etcd', 'containerd'] });
  for (const run of [1, 2, 3]) await node.run('etcd', run, shell(`echo etcd ${run}`));
  await node.run('containerd', 7, shell(`echo containerd 7`));
  const texts = async (request: Partial<FollowRequest>) =>
    (await collect(node.logs, { components: ['etcd', 'containerd'], ...request })).map(textOf);
  t.same(await texts({ run: 2 }), ['etcd 2']);
  t.same(await texts({ run: 'previous' }), ['etcd 2']);
  t.same(await texts({ run: 7 }), ['containerd 7']);
});

void t.test('an expression that cannot be used is refused', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'] });
  for (const pattern of ['(', '(?=x)', '(a)\\1']) {
    await t.rejects(collect(node.logs, { components: ['etcd'], pattern }), { code: 'INVALID_ARGUMENT' });
  }
  // One at which a backtracking engine would not come to an end.
  await node.run('etcd', 1, shell(`printf '%016000d\\n' 0`));
  t.same(await collect(node.logs, { components: ['etcd'], pattern: '(0+)+x' }), []);
});

void t.test('a stream ends at its end', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'] });
  await node.run('etcd', 1, ['seq', '1', '9']);
  const first = (await node.tail('etcd'))[0]?.sequence ?? 0;
  const ends = [{ component: 'etcd', next: first + 12 }];
  const live = new Reader({ components: ['etcd'], ends });
  await live.open(node.logs);
  const timed = new Reader({ components: ['etcd'], tail: 0, untilMs: Date.now() + 100 });
  await timed.open(node.logs);
  while (await timed.read());
  await node.run('etcd', 2, ['seq', '10', '19']);
  while (await live.read());
  t.same(live.lines.map(textOf), ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12']);
  t.same(timed.lines, []);
});

void t.test('a stream ends when its time is over, however loud the log is', async (t) => {
  await using node = await LogNode.start({ components: ['loud'], diskBytes: 64 * 1024 * 1024 });
  node.spawn('loud', 1, ['yes', 'x'.repeat(119)]);
  const reader = new Reader({ components: ['loud'], untilMs: Date.now() + 300 });
  await reader.open(node.logs);
  while (await reader.read());
  t.ok(reader.lines.length > 0);
});

void t.test('what was overwritten before it was read is a gap of its size', async (t) => {
  await using node = await LogNode.start({ components: ['etcd', 'quiet'] });
  await node.run('etcd', 1, ['seq', '1', '10']);
  const reader = new Reader({ components: ['etcd', 'quiet'] });
  await reader.open(node.logs);
  await readUntil(reader, () => reader.lines.length >= 10);
  // Nobody takes anything from the stream meanwhile.
  await node.run('etcd', 2, ['seq', '11', '200000']);
  await node.run('quiet', 1, ['echo', 'here']);
  await readUntil(reader, () => textOf(reader.lines.at(-1) as LogRecord) === 'here');
  await reader.close();
  reader.check('etcd');
  const lost = reader.gaps.reduce((sum, { lines }) => sum + (lines ?? Infinity), 0);
  const numbered = reader.lines.filter(({ component }) => component === 'etcd');
  t.ok(lost > 100_000, `${lost} lines lost`);
  t.equal(lost + numbered.length, 200_000);
  const first = numbered[0]?.sequence ?? 0;
  t.ok(numbered.every((line) => textOf(line) === String(line.sequence - first + 1)));
});

for (const diskBytes of [undefined, 64 * 1024 * 1024]) {
  const where = diskBytes === undefined ? 'in memory' : 'on disk';
  const name = `the worker and Hamlet die at random: each number is there once, or in a gap (${where})`;
  void t.test(name, { timeout: 120_000 }, async (t) => {
    const components = ['c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7'];
    const disk = diskBytes === undefined ? {} : { diskBytes };
    await using node = await LogNode.start({ components, ...disk });
    const reader = new Reader({ components });
    // From here on it has a position in each log: what it does not get has to be in a gap.
    await reader.open(node.logs);
    await reader.close();
    const count = 150_000;
    const writers = components.map((name, i) =>
      node.spawn(name, 1, i % 2 === 0 ? shell(`seq ${count} >&2`) : ['stdbuf', '-oL', 'seq', String(count)]),
    );
    const exits = Promise.all(writers.map((child) => once(child, 'exit')));
    const isDone = () => writers.every((child) => child.exitCode !== null);
    let deaths = 0;
    for (; !isDone() || deaths < 6; deaths += 1) {
      const life = delay(Math.random() * 60);
      const reading = (async () => {
        await reader.open(node.logs);
        while (await reader.read());
      })().catch((error: unknown) => error);
      await life;
      await node.killReader();
      t.match(await reading, { code: 'UNAVAILABLE' });
      // Every third time it is Hamlet as a whole that goes, with the memory of its logs.
      if (deaths % 3 === 2) {
        await node.reopen(async () => {});
        for (const name of components) node.pipes.adopt(name, 1);
      }
      await node.startReader();
    }
    await exits;
    for (const name of components) t.ok(await node.pipes.endRun(name));
    await reader.open(node.logs);
    const ended = await Promise.all(components.map(async (name) => (await node.tail(name, 1))[0]));
    // Hamlet's death may have left nothing of it in memory: then the numbers of this start are the end.
    const start = Number(readFileSync(join(node.folder, 'starts'), 'utf8')) * sequencesPerStart;
    const isRead = () =>
      ended.every((last, i) => {
        const position = reader.positions.find(({ component }) => component === components[i]);
        return (position?.next ?? 0) >= (last === undefined ? start : last.sequence + 1);
      });
    await readUntil(reader, isRead);
    await reader.close();
    for (const name of components) {
      reader.check(name);
      // The numbers that they wrote: each once, in order, and none missing but where there is a gap.
      let next = 1;
      let isKnown = true;
      const lines = reader.lines.filter(({ component }) => component === name);
      const gaps = reader.gaps.filter(({ component }) => component === name);
      let previous = -1;
      for (const line of lines) {
        const number = Number(textOf(line));
        const before = gaps.filter(({ from, to }) => from > previous && to <= line.sequence);
        const lost = before.reduce((sum, gap) => sum + (gap.lines ?? NaN), 0);
        previous = line.sequence;
        if (Number.isNaN(lost)) {
          // What was held of a line without its end is gone with Hamlet: the rest of it says nothing.
          isKnown = false;
          continue;
        }
        // Nobody knows how many there were, but that none of them was there before.
        const isRight = isKnown ? number === next + lost : number >= next + lost;
        if (!isRight) t.fail(`${name}: ${number} instead of ${next}, and ${lost} lost`);
        isKnown = true;
        next = number + 1;
      }
      const isEndLost = gaps.some(({ from, lines }) => from > previous && lines === null);
      // The last line may be the one of which the beginning is gone.
      const isEnd = next === count + 1 || !isKnown || isEndLost;
      t.ok(isEnd, `${name} ends with ${next - 1}`);
      t.ok(lines.length > 0 || gaps.length > 0, `${name}: ${lines.length} lines, ${gaps.length} gaps`);
    }
  });
}

void t.test('a thousand followers at once, and one that writes without end beside them', async (t) => {
  await using node = await LogNode.start({ components: ['quiet', 'loud'] });
  const readers = Array.from(
    { length: 1_000 },
    (_, i) => new Reader({ components: i % 10 === 0 ? ['quiet', 'loud'] : ['quiet'], tail: 0 }),
  );
  await Promise.all(readers.map((reader) => reader.open(node.logs)));
  node.spawn('loud', 1, ['yes', 'x'.repeat(119)]);
  await node.run('quiet', 1, ['seq', '1', '100']);
  await Promise.all(
    readers.map(async (reader) => {
      const quiet = () => reader.lines.filter(({ component }) => component === 'quiet').length;
      await readUntil(reader, () => quiet() >= 100);
      await reader.close();
    }),
  );
  for (const reader of readers) {
    const quiet = reader.lines.filter(({ component }) => component === 'quiet').map(textOf);
    if (quiet.join() !== Array.from({ length: 100 }, (_, i) => i + 1).join()) t.fail(quiet.join());
    if (reader.gaps.some(({ component }) => component === 'quiet')) t.fail('a gap in the quiet log');
    reader.check('loud');
  }
  const { rings } = await node.logs.stats({}, { deadlineMs: 5_000 });
  t.ok((rings.find(({ component }) => component === 'loud')?.written ?? 0) > 10_000);
});

void t.test('a thousand followers of a flood who do not read: all of it is in their gaps', async (t) => {
  const count = 300_000;
  const limits = { ...defaultRingLimits, maxLines: 250 };
  await using node = await LogNode.start({ components: ['loud'], limits });
  const readers = Array.from({ length: 1_000 }, () => new Reader({ components: ['loud'] }));
  await Promise.all(readers.map((reader) => reader.open(node.logs)));
  const first = readers[0]?.positions[0]?.next ?? 0;
  const before = process.memoryUsage.rss();
  const line = 'x'.repeat(110);
  t.equal(await node.run('loud', 1, ['seq', '-f', `%.0f ${line}`, String(count)]), 0);
  const grownMb = (process.memoryUsage.rss() - before) / 1e6;
  t.ok(grownMb < 400, `${grownMb} MB for what a thousand have not read`);
  for (const reader of readers) {
    await readUntil(reader, () => (reader.positions[0]?.next ?? 0) >= first + count);
    await reader.close();
    reader.check('loud');
    const lost = reader.gaps.reduce((sum, { lines }) => sum + (lines ?? NaN), 0);
    if (lost + reader.lines.length !== count) t.fail(`${lost} lost, ${reader.lines.length} read`);
    const wrong = reader.lines.find((record) => textOf(record) !== `${record.sequence - first + 1} ${line}`);
    if (wrong !== undefined) t.fail(`${wrong.sequence - first} is ${textOf(wrong)}`);
  }
});

void t.test('one follower of a flood: each number once, or in a gap, in order', async (t) => {
  await using node = await LogNode.start({ components: ['loud'], diskBytes: 256 * 1024 * 1024 });
  const reader = new Reader({ components: ['loud'] });
  await reader.open(node.logs);
  const first = reader.positions[0]?.next ?? 0;
  const count = 400_000;
  // Blocks of 4 KiB, as a program writes that does not care.
  const line = 'x'.repeat(80);
  const startMs = performance.now();
  const written = node.run('loud', 1, ['seq', '-f', `%.0f ${line}`, String(count)]).then((code) => {
    const mb = (count * (line.length + 8)) / 1e6;
    t.comment(`${((mb / (performance.now() - startMs)) * 1_000).toFixed(0)} MB a second`);
    return code;
  });
  await readUntil(reader, () => (reader.positions[0]?.next ?? 0) >= first + count);
  t.equal(await written, 0);
  await reader.close();
  reader.check('loud');
  const lost = reader.gaps.reduce((sum, { lines }) => sum + (lines ?? NaN), 0);
  t.equal(lost + reader.lines.length, count);
  t.ok(reader.lines.every((record) => textOf(record) === `${record.sequence - first + 1} ${line}`));
  t.comment(`${lost} of ${count} lines lost`);
});

void t.test('a request without components is refused', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'] });
  await t.rejects(collect(node.logs, everything), { code: 'INVALID_ARGUMENT' });
});
