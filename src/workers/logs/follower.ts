import type { FollowRequest, LogBatch, LogPosition, LogRecord } from '../../ipc/services/logs.js';
import type { RingLine } from '../../lib/ring/block.js';
import type { Ring } from '../../lib/ring/ring.js';
import { LineFilter } from './filter.js';
import { concerns, select } from './selection.js';
import type { LogStore } from './store.js';
import type { Structure } from './structure.js';

/** Bytes of a batch: half of what a stream may have on its way, so that the next one is made meanwhile. */
const maxBatchBytes = 32 * 1024;
/** About what a record takes on the mesh beside its data. */
const recordBytes = 192;
/** Bytes that are looked at in one turn, wanted or not. */
const maxScannedBytes = 128 * 1024;

/** One log that is read, up to where it has been read. The follower holds no lines, so that a slow one costs nothing. */
interface Source {
  readonly name: string;
  readonly ring: Ring;
  /** The number of the next line, and the first one that is not wanted any more. */
  next: number;
  end: number;
  /** What the reader of the stream knows of `next`. */
  told: number;
  /** The only run that is wanted, if there is one. */
  readonly run: number | undefined;
  /** Whether only records that tell about the chosen components are wanted. */
  readonly eventsOnly: boolean;
}

/** Lines of one source that were copied in this turn. */
interface Head {
  readonly source: Source;
  readonly lines: Iterator<RingLine>;
  line: RingLine | undefined;
}

/** What came of a turn. */
export interface Turn {
  readonly records: LogRecord[];
  /** Whether there is more to read at once. */
  readonly hasMore: boolean;
}

/**
 * Reads the chosen logs as one, in the order of arrival. Each turn copies what it needs out of the rings; lines that
 * were overwritten since the last one become a gap.
 */
export class Follower {
  readonly #asked: readonly string[];
  readonly #names: readonly string[];
  readonly #filter: LineFilter;
  readonly #sources: readonly Source[];
  readonly #untilMs: number;

  /** Throws NOT_FOUND for components that have no log, INVALID_ARGUMENT for an expression that cannot be used. */
  constructor(store: LogStore, request: FollowRequest) {
    this.#asked = request.components;
    this.#names = [...store.rings.keys()];
    this.#filter = new LineFilter(request);
    this.#untilMs = request.untilMs ?? Infinity;
    const chosen = select(request.components, this.#names);
    const isOwn = (name: string): boolean => name === 'hamlet' || name.startsWith('hamlet.');
    this.#sources = this.#names
      .filter((name) => chosen.has(name) || (request.events && isOwn(name)))
      .map((name) => {
        const ring = store.ring(name);
        const position = request.positions.find(({ component }) => component === name);
        const end = request.ends.find(({ component }) => component === name)?.next ?? Infinity;
        // A number that was never given is of another node, or of one whose state is gone.
        const next = position === undefined || position.next > ring.written ? ring.first : position.next;
        const eventsOnly = !chosen.has(name);
        return {
          name,
          ring,
          next,
          end: request.follow ? end : Math.min(end, ring.written),
          told: -1,
          run: eventsOnly ? undefined : runOf(request, store.latestRun(name)),
          eventsOnly,
        };
      });
  }

  /** The names of the logs that are read. */
  get names(): readonly string[] {
    return this.#sources.map(({ name }) => name);
  }

  /** Whether nothing can come any more. */
  isOver(nowMs: number): boolean {
    return nowMs > this.#untilMs || this.#sources.every(({ next, end }) => next >= end);
  }

  /**
   * Moves on to the last `count` wanted lines of those logs that have no position. A generator, because it may have to
   * look at every line: each step looks at some.
   */
  *seek(count: number, positions: readonly LogPosition[]): Generator<void, void> {
    const found: { readonly source: Source; readonly line: number; readonly monotonicUs: number }[] = [];
    const free = this.#sources.filter(({ name }) => !positions.some(({ component }) => component === name));
    for (const source of free) {
      let left = count;
      let before = Math.min(source.ring.written, source.end);
      source.next = before;
      while (left > 0 && before > source.ring.first) {
        const block = source.ring.copy(before - Math.min(left, 128), before);
        for (let i = block.count - 1; i >= 0 && left > 0; i -= 1) {
          const line = block.line(i);
          if (this.#wanted(source, line) === undefined) continue;
          found.push({ source, line: line.sequence, monotonicUs: line.monotonicUs });
          left -= 1;
        }
        before = Math.min(block.sequence, before - 1);
        yield;
      }
    }
    found.sort((a, b) => b.monotonicUs - a.monotonicUs);
    for (const { source, line } of found.slice(0, count)) source.next = Math.min(source.next, line);
  }

  /** Reads on, a turn's worth at most. */
  read(): Turn {
    const records: LogRecord[] = [];
    const heads = this.#sources.map((source) => this.#head(source, records));
    let batchBytes = 0;
    let scannedBytes = 0;
    for (;;) {
      const head = earliest(heads);
      if (head?.line === undefined) return { records, hasMore: false };
      const { source, line } = head;
      if (batchBytes >= maxBatchBytes || scannedBytes >= maxScannedBytes) return { records, hasMore: true };
      const structure = this.#wanted(source, line);
      if (structure !== undefined) {
        const { sequence, atMs, run, source: stream, data, trueBytes } = line;
        const component = source.name;
        records.push({
          kind: 'line',
          component,
          sequence,
          atMs,
          run,
          source: stream,
          data,
          trueBytes,
          ...structure,
        });
        batchBytes += data.length + recordBytes;
        source.told = sequence + 1;
      }
      scannedBytes += line.data.length;
      source.next = line.sequence + 1;
      head.line = head.lines.next().value as RingLine | undefined;
      if (head.line === undefined) Object.assign(head, this.#head(source, records));
    }
  }

  /** Whether the reader of the stream would go on from an older place than need be. */
  get hasNews(): boolean {
    return this.#sources.some(({ next, told }) => next !== told);
  }

  /** The positions that the records do not tell. */
  news(): LogBatch['positions'] {
    const moved = this.#sources.filter(({ next, told }) => next !== told);
    for (const source of moved) source.told = source.next;
    return moved.map(({ name, next }) => ({ component: name, next }));
  }

  /** The next lines of a source, behind the gap before them. */
  #head(source: Source, records: LogRecord[]): Head {
    const { ring } = source;
    if (source.next < ring.first && source.next < source.end) {
      const to = Math.min(ring.first, source.end);
      const lines = source.next < ring.origin ? null : to - source.next;
      records.push({ kind: 'gap', component: source.name, from: source.next, to, lines });
      source.next = to;
      source.told = to;
    }
    const share = Math.ceil(maxBatchBytes / this.#sources.length);
    const lines = ring.copy(source.next, source.end, share)[Symbol.iterator]();
    return { source, lines, line: lines.next().value as RingLine | undefined };
  }

  #wanted(source: Source, line: RingLine): Structure | undefined {
    const structure = this.#filter.pass(line, source.run);
    if (structure === undefined || !source.eventsOnly) return structure;
    const { subject } = structure;
    return subject !== '' && concerns(this.#asked, subject, this.#names) ? structure : undefined;
  }
}

function earliest(heads: readonly Head[]): Head | undefined {
  let first: Head | undefined;
  for (const head of heads) {
    if (head.line === undefined) continue;
    if (first?.line === undefined || head.line.monotonicUs < first.line.monotonicUs) first = head;
  }
  return first;
}

function runOf({ run }: FollowRequest, latest: number): number | undefined {
  if (run === null) return undefined;
  return run === 'previous' ? latest - 1 : run;
}
