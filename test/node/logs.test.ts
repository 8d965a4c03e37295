import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { componentNames, workerNames } from '../../src/lib/names.js';
import { poll } from '../../src/lib/time.js';
import { TestNode } from './support/hamlet.js';

const writer = fileURLToPath(new URL('./fixtures/numbered-writer.js', import.meta.url));
const kills = 3;

/** What `dbg logs -o json` prints. */
interface Line {
  readonly kind: 'line' | 'event';
  readonly component: string;
  readonly sequence: number;
  readonly at: string;
  readonly run: number;
  readonly source: string;
  readonly line: string;
}
interface Gap {
  readonly kind: 'gap';
  readonly component: string;
  readonly from: number;
  readonly to: number;
  readonly lines: number | null;
}

const parse = (text: string): (Line | Gap)[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line | Gap);

void t.test('the logs of a node outlive it, and say what is missing', async (t) => {
  // The least there is, so that what is read afterwards is little.
  const node = await TestNode.create({ logs: { maxDiskMb: 8 } });
  t.teardown(() => node.remove());
  const pipeOf = (name: string) => path.join(node.run.pipes, name);
  const outputOf = (name: string) =>
    pipeOf((componentNames as readonly string[]).includes(name) ? `${name}.stdout` : name);
  /** The output of `dbg logs`, by lines; it must have nothing to complain about. */
  const logs = async (...args: string[]): Promise<string[]> => {
    const { code, stdout, stderr } = await node.dbg(['logs', ...args]);
    t.same([code, stderr], [0, ''], args.join(' '));
    return stdout.split('\n').slice(0, -1);
  };
  node.start();
  await node.ready();

  await t.test('dbg reads what an earlier start of Hamlet has left on disk', async (t) => {
    const count = 6_000;
    const pipe = openSync(outputOf('etcd'), constants.O_WRONLY);
    for (let i = 1; i <= count; i += 1) writeSync(pipe, `early ${i}\n`);
    writeSync(pipe, 'E1123 14:00:00.000000 1 early.go:7] it went wrong\n');
    closeSync(pipe);
    const wanted = Array.from({ length: count }, (_, i) => `early ${i + 1}`);
    const early = (lines: readonly string[]) => lines.filter((line) => line.startsWith('early '));
    await poll(async () => (await logs('--grep', 'it went wrong', 'etcd')).length === 1 || undefined, {
      everyMs: 50,
      timeoutMs: 20_000,
      what: 'the last line',
    });
    const file = path.join(node.folder, 'position');
    await logs('--resume', file, '--tail', '10', 'etcd', 'hamlet.kubelet');
    t.equal(await node.stop('SIGTERM'), 0);
    const stoppedAt = new Date().toISOString();
    node.start();
    await node.ready();

    t.same(early(await logs('--previous', 'etcd')), wanted);
    t.same(early(await logs('--run', '1', 'etcd')), wanted);
    t.same(early(await logs('--since', '1h', 'etcd')), wanted);
    t.same(
      early(await logs('--until', stoppedAt, '--tail', '1000', '--grep', '^early', 'etcd')),
      wanted.slice(-1_000),
    );
    t.same(early(await logs('--since', stoppedAt, 'etcd')), []);
    t.same(early(await logs('--run', '2', 'etcd')), []);
    t.same(await logs('--since', '1h', '--grep', '^early 1?777$', 'etcd'), ['early 777', 'early 1777']);
    t.match(await logs('--previous', '--level', 'error', '--grep', 'early', '-o', 'full', 'etcd'), [
      /^\d{4}-\S+Z etcd \d+ run 1 stdout error early\.go:7 \| E1123 .* it went wrong$/,
    ]);
    const resumed = parse((await logs('--resume', file, '-o', 'json', 'etcd', 'hamlet.kubelet')).join('\n'));
    t.notOk(
      resumed.some(({ kind }) => kind === 'gap'),
      'nothing is missing',
    );
    t.notOk(resumed.some((record) => record.kind !== 'gap' && record.line.startsWith('early')));
    t.same(early(await logs('--resume', file, 'etcd')), [], 'everything was printed');

    const own = ['hamlet', ...workerNames.map((name) => `hamlet.${name}`)];
    const said = parse((await logs('--since', '1h', '-o', 'json', ...own)).join('\n'));
    t.same(
      said.filter(({ kind }) => kind === 'gap'),
      [],
    );
    const stops = said.filter(
      (record) =>
        record.kind !== 'gap' &&
        record.component === 'hamlet.kubelet' &&
        record.line.includes('"state":"stopped"'),
    );
    t.ok(stops.length >= componentNames.length, 'the kubelet thread has told of all that it stopped');
  });

  await t.test(
    'killed while eight write at full speed: each number is there once, or in a gap',
    async (t) => {
      const names = [...componentNames, 'hamlet.reconciler'];
      const follower = new Follower(node, [...names]);
      t.teardown(() => follower.close());
      for (const name of names) {
        const pipe = openSync(outputOf(name), constants.O_WRONLY);
        writeSync(pipe, 'n0 here it begins\n');
        closeSync(pipe);
      }
      await follower.until('the first line of each', () => names.every((name) => follower.last(name) === 0));
      const writers = new Map(
        names.map((name) => [
          name,
          spawn(process.execPath, [writer, outputOf(name)], { stdio: ['ignore', 'pipe', 'inherit'] }),
        ]),
      );
      t.teardown(() => [...writers.values()].forEach((child) => child.kill('SIGKILL')));
      for (let kill = 0; kill < kills; kill += 1) {
        const before = follower.count;
        await follower.until('the flood', () => follower.count > before + 1_000);
        await delay(Math.random() * 1_000);
        await node.stop('SIGKILL');
        node.start();
        t.comment(`killed ${kill + 1} times, ${follower.count} lines read`);
      }
      const written = new Map(
        await Promise.all([...writers].map(async ([name, child]) => [name, await endOf(child)] as const)),
      );
      await follower.until('the last line of each', () =>
        names.every((name) => follower.last(name) === written.get(name)),
      );
      t.same(follower.problems, []);
      t.same(
        names.filter((name) => !follower.hasUnknownGap(name)),
        [],
        'each log says that Hamlet was killed',
      );
      const total = [...written.values()].reduce((sum, count) => sum + count, 0);
      t.comment(`${total} lines written, ${follower.count} read, ${follower.lost} in gaps of a known size`);
      await node.ready();
    },
  );
});

/** Ends a writer; gives how many lines it has written. */
async function endOf(child: ChildProcess): Promise<number> {
  let text = '';
  child.stdout?.on('data', (data: Buffer) => (text += data.toString()));
  const close = once(child, 'close');
  child.kill('SIGTERM');
  await close;
  return Number(text);
}

/** `dbg logs -f` through any number of starts of Hamlet, held against what the writers do. */
class Follower {
  readonly problems: string[] = [];
  count = 0;
  lost = 0;
  readonly #child: ChildProcess;
  readonly #logs = new Map<string, Position>();

  constructor(node: TestNode, names: readonly string[]) {
    const [file, args] = node.command(['logs', '-f', '-o', 'json', ...names]);
    this.#child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    if (this.#child.stdout === null) return;
    createInterface({ input: this.#child.stdout }).on('line', (line) =>
      this.#take(JSON.parse(line) as Line | Gap),
    );
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }

  /** The last number of a log's writer that was read. */
  last(name: string): number | undefined {
    return this.#logs.get(name)?.number;
  }

  hasUnknownGap(name: string): boolean {
    return this.#logs.get(name)?.hasUnknownGap === true;
  }

  async until(what: string, isSo: () => boolean): Promise<void> {
    await poll(() => isSo() || undefined, { everyMs: 20, timeoutMs: 180_000, what });
  }

  #take(record: Line | Gap): void {
    const { component } = record;
    const log = this.#logs.get(component) ?? newPosition();
    this.#logs.set(component, log);
    const at = record.kind === 'gap' ? record.from : record.sequence;
    if (log.next !== undefined && at !== log.next)
      this.#complain(`${component} ${at} instead of ${log.next}`);
    if (record.kind === 'gap') {
      log.next = record.to;
      log.missing += record.lines ?? Infinity;
      log.hasUnknownGap ||= record.lines === null;
      this.lost += record.lines ?? 0;
      return;
    }
    log.next = record.sequence + 1;
    this.count += 1;
    // The components themselves write to stderr, and Hamlet's threads JSON.
    if (record.source === 'stderr' || record.line.startsWith('{')) return;
    const number = Number(/^n(\d+) /.exec(record.line)?.[1] ?? NaN);
    if (Number.isNaN(number)) {
      // The beginning of this line was read, and was only in memory.
      if (log.missing < Infinity) this.#complain(`${component}: ${record.line}`);
      return;
    }
    if (log.number !== undefined) {
      const between = number - log.number - 1;
      if (between < 0 || between > log.missing) {
        this.#complain(`${component}: ${number} after ${log.number}, and ${log.missing} missing`);
      }
    }
    log.number = number;
    log.missing = 0;
  }

  #complain(problem: string): void {
    if (this.problems.length < 20) this.problems.push(problem);
  }
}

interface Position {
  /** The number that the next record has to begin with. */
  next: number | undefined;
  number: number | undefined;
  /** Lines that are said to be missing since then. */
  missing: number;
  hasUnknownGap: boolean;
}

const newPosition = (): Position => ({
  next: undefined,
  number: undefined,
  missing: 0,
  hasUnknownGap: false,
});
