import type { FollowRequest, LogBatch, LogRecord } from '../../ipc/services/logs.js';
import type { RingLine } from '../../lib/ring/block.js';
import { startOf } from '../../lib/ring/memory.js';
import type { Archive } from './archive.js';
import { LineFilter } from './filter.js';
import { LookBack } from './look-back.js';
import { concerns } from './selection.js';
import { knows, sourcesOf, type ReadableStore, type Source } from './source.js';
import type { Structure } from './structure.js';

/** Bytes of a batch: half of what a stream may have on its way, so that the next one is made meanwhile. */
const maxBatchBytes = 16 * 1024;
/** About what a record takes on the mesh beside its data. */
const recordBytes = 192;
/** Bytes that are looked at in one turn, wanted or not. */
const maxScannedBytes = 128 * 1024;

/** Lines of one source that were copied in this turn. */
interface Head {
  readonly source: Source;
  readonly lines: Iterator<RingLine>;
  line: RingLine | undefined;
  /** Its next line is no longer in memory, and the disk has to be asked for it. */
  readonly isOnDisk: boolean;
}

/** What came of a turn. */
export interface Turn {
  readonly records: LogRecord[];
  /** Whether there is more to read at once. */
  readonly hasMore: boolean;
}

/** Lines that are looked at in one step of `seek`. */
const linesPerStep = 128;

/**
 * Reads the chosen logs as one, in the order of arrival. Each turn copies what it needs out of the rings; what was
 * overwritten since the last one is read from disk, and what is not there either becomes a gap.
 */
export class Follower {
  readonly #asked: readonly string[];
  readonly #names: readonly string[];
  readonly #filter: LineFilter;
  readonly #sources: readonly Source[];
  readonly #request: FollowRequest;
  readonly #untilMs: number;
  readonly #archive: Archive | undefined;

  /** Throws NOT_FOUND for components that have no log, INVALID_ARGUMENT for an expression that cannot be used. */
  constructor(store: ReadableStore, request: FollowRequest) {
    this.#asked = request.components;
    this.#names = [...store.rings.keys()];
    this.#filter = new LineFilter(request);
    this.#request = request;
    this.#untilMs = request.untilMs ?? Infinity;
    this.#archive = store.archive;
    this.#sources = sourcesOf(store, request);
  }

  /** The names of the logs that are read. */
  get names(): readonly string[] {
    return this.#sources.map(({ name }) => name);
  }

  /**
   * Whether nothing wanted can come any more. What is written when the time that was asked for is over is not wanted, so
   * that no log can be so loud that this never comes.
   */
  isOver(nowMs: number): boolean {
    if (nowMs > this.#untilMs) {
      for (const source of this.#sources) source.end = Math.min(source.end, source.ring.written);
    }
    return this.#sources.every(({ next, end }) => next >= end);
  }

  /**
   * Moves to where the logs that have no position begin: at the last `tail` wanted lines, or at the first that may be
   * wanted for its time or run; else at the first that is in memory. A generator, because it may have to look at every
   * line: each step looks at some.
   */
  async *seek(): AsyncGenerator<void, void> {
    const { tail, positions, sinceMs } = this.#request;
    const free = this.#sources.filter(({ name }) => !positions.some(({ component }) => component === name));
    for (const source of free) {
      if (sinceMs === null && source.run === undefined) continue;
      const first = await this.#archive?.find(source.name, { sinceMs, run: source.run ?? null });
      source.next = Math.min(source.next, first ?? Infinity);
    }
    if (tail === null) return;
    yield* this.#seekBack(free, tail);
  }

  /**
   * Moves each source to the first of those lines that are among the last `count` wanted ones of them all. Of lines that
   * arrived at the same time those come last that `read` gives last.
   */
  async *#seekBack(sources: readonly Source[], count: number): AsyncGenerator<void, void> {
    // Without a time or a run that it begins with, a log begins with the first line there is.
    const isLimited = (source: Source): boolean => this.#request.sinceMs !== null || source.run !== undefined;
    const logs = sources.map((source) => new LookBack(source, isLimited(source) ? source.next : 0));
    let left = count;
    for (let looked = 1; left > 0;) {
      const log = logs.find(({ isSearching }) => isSearching);
      if (log === undefined) {
        const last = latest(logs);
        if (last?.line === undefined) break;
        last.source.next = last.line.sequence;
        last.line = undefined;
        left -= 1;
        continue;
      }
      if (looked % linesPerStep === 0) yield;
      looked += 1;
      const line = log.previous();
      if (line === undefined) await log.load(this.#archive, left);
      else if (this.#wanted(log.source, line) !== undefined) log.line = line;
    }
    if (left === 0) return;
    // All that there is is wanted, from the gap on that it may begin with.
    for (const { source, first } of logs) if (isLimited(source)) source.next = Math.min(source.next, first);
  }

  /** Asks the disk for the next lines of those logs that have them no longer in memory. Call it before each turn. */
  async lookUp(): Promise<void> {
    for (const source of this.#sources) {
      const { name, ring, next, end } = source;
      if (this.#archive === undefined || next >= ring.first || next >= end || knows(source)) continue;
      // What is overwritten while the disk is asked may be on it the next time.
      const to = ring.first;
      source.onDisk = { from: next, to, block: await this.#archive.linesFrom(name, next) };
    }
  }

  /** Reads on, a turn's worth at most. */
  read(): Turn {
    const records: LogRecord[] = [];
    const heads = this.#sources.map((source) => this.#head(source, records));
    let batchBytes = 0;
    let scannedBytes = 0;
    for (;;) {
      // Which line comes next is known only when all of them are here.
      if (heads.some(({ isOnDisk }) => isOnDisk)) return { records, hasMore: true };
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
          monotonicUs: line.monotonicUs,
          ...structure,
        });
        batchBytes += data.length + recordBytes;
        source.told = sequence + 1;
      }
      scannedBytes += line.data.length;
      source.next = line.sequence + 1;
      source.isPast = line.atMs > this.#untilMs;
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
    const { ring, onDisk } = source;
    const head = (lines: Iterator<RingLine>): Head => ({
      source,
      lines,
      line: lines.next().value as RingLine | undefined,
      isOnDisk: false,
    });
    while (source.next < ring.first && source.next < source.end) {
      if (this.#archive !== undefined && (onDisk === undefined || !knows(source))) {
        return { source, lines: [].values(), line: undefined, isOnDisk: true };
      }
      const block = onDisk?.block;
      if (block !== undefined && block.sequence <= source.next) {
        return head(block.lines(source.next, source.end));
      }
      this.#skip(
        source,
        Math.min(block?.sequence ?? onDisk?.to ?? Infinity, ring.first, source.end),
        records,
      );
    }
    source.onDisk = undefined;
    const share = Math.ceil(maxBatchBytes / this.#sources.length);
    return head(ring.copy(source.next, source.end, share).lines());
  }

  /** Moves on to number `to`: what lies before it is lost. */
  #skip(source: Source, to: number, records: LogRecord[]): void {
    const { name: component, next: from } = source;
    const isSameStart = startOf(from) === startOf(to) || from >= source.ring.origin;
    const lines = isSameStart ? to - from : (this.#archive?.countLost(component, from, to) ?? null);
    source.next = to;
    // What followed on a line that is too late was too late as well.
    if (lines === 0 || source.isPast) return;
    records.push({ kind: 'gap', component, from, to, lines });
    source.told = to;
  }

  #wanted(source: Source, line: RingLine): Structure | undefined {
    const structure = this.#filter.pass(line, source.run);
    if (structure === undefined || !source.eventsOnly) return structure;
    const { subject } = structure;
    return subject !== '' && concerns(this.#asked, subject, this.#names) ? structure : undefined;
  }
}

/** A line of a log, and the log. */
interface Read {
  readonly source: Source;
  readonly line: RingLine | undefined;
}

/** Of lines that arrived at the same time the one of the first log. */
function earliest<T extends Read>(logs: readonly T[]): T | undefined {
  let first: T | undefined;
  for (const log of logs) {
    if (log.line !== undefined && (first === undefined || arrivedBefore(log, first))) first = log;
  }
  return first;
}

/** Of lines that arrived at the same time the one of the last log. */
function latest<T extends Read>(logs: readonly T[]): T | undefined {
  let last: T | undefined;
  for (const log of logs) {
    if (log.line !== undefined && (last === undefined || !arrivedBefore(log, last))) last = log;
  }
  return last;
}

/** The monotonic clock begins anew with the machine, and then Hamlet has been started again. */
function arrivedBefore(a: Read, b: Read): boolean {
  const [startOfA, startOfB] = [startIn(a), startIn(b)];
  return startOfA === startOfB
    ? (a.line?.monotonicUs ?? 0) < (b.line?.monotonicUs ?? 0)
    : startOfA < startOfB;
}

/** The start that read a line: no later one than this, also for a line that needed a number of the next. */
function startIn({ source: { ring }, line }: Read): number {
  return startOf(Math.min(line?.sequence ?? 0, ring.origin));
}
