import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { everything } from '../../test/mesh/fixtures/follow.js';
import { LogNode } from '../../test/mesh/fixtures/log-node.js';

const lineBytes = 120;
/** 4 KiB, as a program writes that does not care. */
const linesPerWrite = 34;

/** What one that writes without end, and those who follow it, get of each other. */
export interface Flood {
  readonly followers: number;
  readonly mbPerSecond: number;
  /** The part of the lines that a follower was given, on average; the others are in its gaps. */
  readonly readPart: number;
  /** By how much the memory of the whole process, the followers' included, grew meanwhile, in MB. */
  readonly grownMb: number;
}

/**
 * Lets `writer` write so many lines before the eyes of so many followers. Throws when a follower is given a line that
 * is not the next one, or a gap of another size than what is missing.
 */
export async function flood(writer: string, lines: number, followers: number): Promise<Flood> {
  await using node = await LogNode.start({ components: ['loud'] });
  const all = Array.from({ length: followers }, () => new Follower(node));
  await Promise.all(all.map((follower) => follower.open()));
  const before = process.memoryUsage.rss();
  let most = before;
  const watch = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 20);
  const reading = Promise.all(all.map((follower) => follower.read(lines)));
  const pipe = path.join(node.folder, 'pipes', 'loud.stdout');
  const child = spawn(writer, [pipe, String(lines), String(linesPerWrite)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let seconds = '';
  child.stdout.on('data', (data: Buffer) => (seconds += data.toString()));
  await once(child, 'close');
  await reading;
  clearInterval(watch);
  return {
    followers,
    mbPerSecond: (lines * lineBytes) / Number(seconds) / 1e6,
    readPart: all.reduce((sum, { count }) => sum + count, 0) / followers / lines,
    grownMb: (most - before) / 1e6,
  };
}

class Follower {
  count = 0;
  readonly #stream: AsyncIterator<{ readonly records: readonly Record[] }>;

  constructor({ logs }: LogNode) {
    this.#stream = logs.follow({ ...everything, components: ['loud'], follow: true })[Symbol.asyncIterator]();
  }

  /** Resolves when it has a position in the log. */
  async open(): Promise<void> {
    await this.#stream.next();
  }

  /** Reads to the end of the writer's lines, which are the first ones of the log. */
  async read(lines: number): Promise<void> {
    let first: number | undefined;
    let next: number | undefined;
    for (;;) {
      const result = await this.#stream.next();
      if (result.done === true) throw new Error('the stream has ended');
      for (const record of result.value.records) {
        const at = record.kind === 'line' ? record.sequence : record.from;
        first ??= at;
        if (at !== (next ?? at)) throw new Error(`${at} instead of ${next}`);
        if (record.kind === 'gap') {
          if (record.lines !== record.to - at)
            throw new Error(`${record.lines} lines from ${at} to ${record.to}`);
          next = record.to;
          continue;
        }
        const number = Number.parseInt(Buffer.from(record.data.subarray(0, 10)).toString());
        if (number !== at - first) throw new Error(`line ${number} is number ${at - first}`);
        next = at + 1;
        this.count += 1;
      }
      if (first !== undefined && next === first + lines) break;
    }
    await this.#stream.return?.();
  }
}
type Record =
  | { readonly kind: 'line'; readonly sequence: number; readonly data: Uint8Array }
  | { readonly kind: 'gap'; readonly from: number; readonly to: number; readonly lines: number | null };
