import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { FollowRequest } from '../../src/ipc/services/logs.js';
import { sequencesPerStart } from '../../src/lib/ring/memory.js';
import { decodeBlocks } from '../../src/lib/segments/segment.js';
import { poll } from '../../src/lib/time.js';
import { folderBytes } from './fixtures/folder-bytes.js';
import { collect, Reader, textOf } from './fixtures/follow.js';
import { LogNode } from './fixtures/log-node.js';

const diskBytes = 64 * 1024 * 1024;
const needsRoot = process.getuid?.() === 0 ? false : 'a file system of its own needs root';
const shell = (script: string): readonly [string, ...string[]] => ['sh', '-c', script];
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => String(from + i));

const texts = async (node: LogNode, request: Partial<FollowRequest>) =>
  (await collect(node.logs, { components: ['etcd'], ...request })).map(textOf);

/** The lines of a log that a new Hamlet would find, as long as no segment is packed. */
function onDisk(node: LogNode): string[] {
  const dir = join(node.folder, 'logs', 'etcd');
  const raws = readdirSync(dir).filter((name) => name.endsWith('.raw'));
  return raws
    .sort((a, b) => parseFloat(a) - parseFloat(b))
    .flatMap((name) => [...decodeBlocks(readFileSync(join(dir, name)))])
    .flatMap((block) => [...block].map(({ data }) => data.toString()));
}

/** Waits until a line is on disk, without asking anybody who has it in memory. */
async function written(node: LogNode, last: string): Promise<void> {
  const probe = () => Promise.resolve(onDisk(node).at(-1) === last ? true : undefined);
  await poll(probe, { everyMs: 5, timeoutMs: 10_000, what: `${last} on disk` });
}

/** A stop of Hamlet in order, and the next start, in which `running` goes on with its first run. */
async function restart(node: LogNode, running?: string): Promise<void> {
  await node.stopReader();
  await node.reopen(async () => {});
  if (running !== undefined) node.pipes.adopt(running, 1);
  await node.startReader();
}

void t.test('lines that the ring gave up are read from disk', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'], diskBytes });
  await node.run('etcd', 1, ['seq', '1', '100']);
  const reader = new Reader({ components: ['etcd'] });
  await reader.open(node.logs);
  await node.run('etcd', 2, ['seq', '101', '60000']);
  t.equal((await node.tail('etcd')).length, 5_000);
  while (reader.lines.length < 60_000 && (await reader.read()));
  await reader.close();
  t.same(reader.gaps, []);
  t.same(reader.lines.map(textOf), numbers(1, 60_000));
  t.same(await texts(node, { tail: 20_000 }), numbers(40_001, 60_000));
  t.same(await texts(node, { sinceMs: 0 }), numbers(1, 60_000));
  t.same(await texts(node, { run: 1 }), numbers(1, 100));
  t.same(await texts(node, {}), numbers(55_001, 60_000), 'without a limit: what is in memory');
});

void t.test('to look for more lines than there are takes no memory', async (t) => {
  await using node = await LogNode.start({ components: ['etcd', 'quiet'], diskBytes, maxHeapMb: 48 });
  await node.run('quiet', 1, ['echo', 'here']);
  await node.run('etcd', 1, ['seq', '1', '600000']);
  const reader = new Reader({ components: ['etcd', 'quiet'], tail: 2 ** 31 - 1 });
  await reader.open(node.logs);
  while (reader.lines.length < 100 && (await reader.read()));
  await reader.close();
  t.same(reader.lines.slice(0, 100).map(textOf), ['here', ...numbers(1, 99)]);
});

void t.test('a stop of Hamlet loses nothing, and followers go on by position', async (t) => {
  await using node = await LogNode.start({ components: ['etcd', 'quiet'], diskBytes });
  const reader = new Reader({ components: ['etcd', 'quiet'] });
  await reader.open(node.logs);
  const read = async (count: number) => {
    while (reader.lines.length < count && (await reader.read()));
    await reader.close();
  };
  await node.run('etcd', 1, ['seq', '1', '20000']);
  await read(10_000);
  for (const [from, to, run] of [
    [20_001, 30_000, 2],
    [30_001, 30_010, 3],
  ] as const) {
    await restart(node);
    await node.run('etcd', run, ['seq', String(from), String(to)]);
  }
  await reader.open(node.logs);
  await read(30_010);
  t.same(reader.gaps, []);
  t.same(reader.lines.map(textOf), numbers(1, 30_010));
  t.same(await texts(node, { run: 'previous' }), numbers(20_001, 30_000));
  t.same(await texts(node, { run: 1, tail: 5 }), numbers(19_996, 20_000));
  const starts = new Set(reader.lines.map(({ sequence }) => Math.floor(sequence / sequencesPerStart)));
  t.same([...starts], [1, 2, 3]);
});

void t.test('what Hamlet’s own threads and components say until the stop is kept', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'], own: ['hamlet.certs'], diskBytes });
  const components = ['etcd', 'hamlet.certs'];
  const reader = new Reader({ components });
  await reader.open(node.logs);
  await reader.close();
  const said = () => reader.lines.filter(({ component }) => component === 'hamlet.certs').map(textOf);
  const child = node.spawn('etcd', 1, shell('printf begun; kill -STOP $$; echo " and ended"'));
  await poll(() => readFileSync(`/proc/${child.pid}/stat`, 'utf8').includes(') T') || undefined, {
    everyMs: 5,
    timeoutMs: 10_000,
    what: 'the stop',
  });
  for (let start = 1; start <= 3; start += 1) {
    const { fd } = node.pipes.threadLog('hamlet.certs');
    for (let line = 1; line <= 200; line += 1) writeSync(fd, `${start} ${line}\n`);
    writeSync(fd, `last words of ${start}`);
    await restart(node, 'etcd');
    await reader.open(node.logs);
    while (said().at(-1) !== `last words of ${start}`) await reader.read();
    await reader.close();
  }
  t.same(
    said(),
    [1, 2, 3].flatMap((start) => [
      ...Array.from({ length: 200 }, (_, i) => `${start} ${i + 1}`),
      `last words of ${start}`,
    ]),
  );
  t.same(
    reader.gaps.filter(({ component }) => component === 'hamlet.certs'),
    [],
  );
  const exit = once(child, 'exit');
  child.kill('SIGCONT');
  await exit;
  t.ok(await node.pipes.endRun('etcd'));
  t.same(await texts(node, { sinceMs: 0 }), ['begun and ended'], 'a line goes on in the next start');
});

void t.test('what a component had not ended, and did not go on with, is a line of its own', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'], diskBytes });
  const child = node.spawn('etcd', 1, shell('printf begun; kill -STOP $$'));
  await poll(() => readFileSync(`/proc/${child.pid}/stat`, 'utf8').includes(') T') || undefined, {
    everyMs: 5,
    timeoutMs: 10_000,
    what: 'the stop',
  });
  await restart(node);
  // It has ended meanwhile, and nobody has heard of it.
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
  await node.run('etcd', 2, ['echo', 'another']);
  const lines = await collect(node.logs, { components: ['etcd'], sinceMs: 0 });
  t.match(lines, [
    { data: Buffer.from('begun'), run: 1 },
    { data: Buffer.from('another'), run: 2 },
  ]);
});

void t.test('a death of Hamlet loses what was not on disk yet, and says that it may have', async (t) => {
  await using node = await LogNode.start({ components: ['etcd'], diskBytes });
  const reader = new Reader({ components: ['etcd'] });
  await reader.open(node.logs);
  await node.run('etcd', 1, ['seq', '1', '1000']);
  await written(node, '1000');
  await node.run('etcd', 2, ['seq', '1001', '2000']);
  await node.killReader();
  await reader.close();
  const kept = onDisk(node);
  t.ok(kept.length >= 1_000, `${kept.length} lines`);
  t.same(kept, numbers(1, kept.length), 'no line without those before it');
  await node.reopen(async () => {});
  await node.startReader();
  await node.run('etcd', 3, ['seq', '2001', '3000']);
  t.same((await collect(node.logs, { components: ['etcd'], sinceMs: 0 })).map(textOf), [
    ...kept,
    `gap ${sequencesPerStart + kept.length} to ${2 * sequencesPerStart}`,
    ...numbers(2_001, 3_000),
  ]);
  await reader.open(node.logs);
  while (reader.lines.at(-1) === undefined || textOf(reader.lines.at(-1) as never) !== '3000')
    await reader.read();
  await reader.close();
  t.match(reader.gaps, [{ lines: null, to: 2 * sequencesPerStart }]);
  reader.check('etcd');
});

void t.test('segments are packed, and together they stay within the budget', async (t) => {
  const budget = 8 * 1024 * 1024;
  await using node = await LogNode.start({ components: ['etcd', 'quiet'], diskBytes: budget });
  await node.run('quiet', 1, ['seq', '1', '10']);
  const dir = join(node.folder, 'logs');
  const count = (ending: string) =>
    readdirSync(join(dir, 'etcd')).filter((name) => name.endsWith(ending)).length;
  const isPacked = () => (count('.raw') <= 1 ? true : undefined);
  for (let run = 1; run <= 16; run += 1) {
    await node.run('etcd', run, shell('head -c 900000 /dev/urandom | base64 -w 119'));
    await poll(isPacked, { everyMs: 5, timeoutMs: 20_000, what: 'packing' });
  }
  const inBudget = () => (folderBytes(dir) <= budget ? true : undefined);
  await poll(inBudget, { everyMs: 5, timeoutMs: 20_000, what: 'less than the budget' });
  t.ok(folderBytes(dir) > budget / 2, `${folderBytes(dir)} bytes`);
  t.ok(count('.packed') > 20, `${count('.packed')} segments`);
  await node.stopReader();
  await node.startReader();
  t.same(
    await texts(node, { components: ['quiet'], sinceMs: 0 }),
    numbers(1, 10),
    'the quiet one keeps its lines',
  );
});

void t.test(
  'a full disk costs the oldest lines, and no component waits for it',
  { skip: needsRoot },
  async (t) => {
    await using node = await LogNode.start({ components: ['etcd'], diskBytes });
    await node.stopReader();
    const dir = join(node.folder, 'logs');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', dir]);
    try {
      await node.startReader();
      for (let run = 1; run <= 12; run += 1) {
        t.equal(await node.run('etcd', run, shell('head -c 600000 /dev/urandom | base64 -w 119')), 0);
      }
      await node.run('etcd', 13, ['echo', 'the end']);
      const { length } = await texts(node, { sinceMs: 0 });
      await node.stopReader();
      await node.startReader();
      const lines = await collect(node.logs, { components: ['etcd'], sinceMs: 0 });
      t.equal(textOf(lines.at(-1) as never), 'the end', 'the newest are there');
      t.ok(length > 5_000);
    } finally {
      await node.killReader();
      execFileSync('umount', [dir]);
    }
  },
);
