import path from 'node:path';
import type { JobPool } from '../../jobs/pool.js';
import { HamletError, messageOf } from '../../lib/errors.js';
import type { Log } from '../../lib/log.js';
import type { LineBlock } from '../../lib/ring/block.js';
import { startOf, type SegmentSettings } from '../../lib/ring/memory.js';
import type { Ring } from '../../lib/ring/ring.js';
import { BlockPool } from './block-pool.js';
import { LeftLines } from './left-lines.js';
import { LogEnds } from './log-ends.js';
import { segmentFiles, type SegmentFiles } from './segment-files.js';
import { isFull, SegmentLog, type Start } from './segment-log.js';

/** What is not on disk after this time, and the moment that a write takes, is lost with the power. */
const flushMs = 400;
/** A log of which so much memory is waiting is written at once. */
const flushBytes = 2 * 1024 * 1024;
/** A log that is so many lines ahead of the disk is copied at once: long before its ring has gone round. */
const takeLines = 512;

/** A budget makes so many segments: the oldest that goes when it is used up is a small part of all. */
const segmentsPerBudget = 64;
const minSegmentBytes = 64 * 1024;
const maxSegmentBytes = 4 * 1024 * 1024;

/** Segments that are packed at once: one core at most, and one thread's memory. */
const maxPacking = 1;

/** How often a trouble that goes on is told. */
const tellMs = 60_000;

export interface ArchiveOptions {
  readonly settings: SegmentSettings;
  readonly rings: ReadonlyMap<string, Ring>;
  readonly jobs: Pick<JobPool, 'run'>;
  readonly log: Log;
  readonly files?: SegmentFiles;
}

/**
 * The logs on disk, in a folder each. Nothing here is waited for by who writes a log: what the disk cannot take, or the
 * pool cannot pack, is missing from the segments, and a reader finds a gap of its size.
 */
export class Archive {
  readonly #options: ArchiveOptions;
  readonly #logs: ReadonlyMap<string, SegmentLog>;
  readonly #stop = new AbortController();
  readonly #pool = new BlockPool();
  readonly #packing = new Set<string>();
  readonly #ends: LogEnds;
  #toldMs = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #tick: Promise<void> = Promise.resolve();
  /** Resolves when what is on disk can be read. */
  readonly ready: Promise<void>;

  constructor(options: ArchiveOptions) {
    const { settings, rings, files = segmentFiles } = options;
    this.#options = options;
    const start = startOf(Math.max(0, ...[...rings.values()].map(({ origin }) => origin)));
    const { dir, leftDir } = settings;
    const endsName = 'ends.json';
    this.#ends = new LogEnds({
      file: path.join(dir, endsName),
      start,
      ...(leftDir !== undefined && { leftFile: path.join(leftDir, endsName) }),
    });
    const share = Math.floor(settings.maxBytes / segmentsPerBudget);
    const segmentBytes = Math.min(Math.max(share, minSegmentBytes), maxSegmentBytes);
    this.#logs = new Map(
      [...rings].map(([name, ring]) => [
        name,
        new SegmentLog({
          ring,
          pool: this.#pool,
          dir: path.join(dir, name),
          left: leftDir === undefined ? undefined : new LeftLines(leftDir, name),
          files,
          segmentBytes,
          onFull: () => this.#try(() => this.#keepBudget()),
        }),
      ]),
    );
    this.ready = this.#open();
  }

  /** There may be new lines in a ring. */
  noticed(name: string): void {
    const log = this.#log(name);
    if (log.behind < takeLines) return;
    log.take();
    if (log.pendingBytes >= flushBytes && log.isOpen && !log.isWriting)
      void this.#try(() => this.#write(log));
  }

  /** The first lines from number `sequence` on that are on disk, or on their way; undefined when there are none. */
  linesFrom(name: string, sequence: number): Promise<LineBlock | undefined> {
    return this.#read(() => this.#log(name).linesFrom(sequence));
  }

  /** The last lines before number `sequence`. */
  linesBefore(name: string, sequence: number): Promise<LineBlock | undefined> {
    return this.#read(() => this.#log(name).linesBefore(sequence));
  }

  /**
   * Where to begin to read what arrived since a time, or belongs to a run, at what was given up of it if anything was;
   * undefined when it is not here.
   */
  find(name: string, start: Start): Promise<number | undefined> {
    return this.#read(() => this.#log(name).find(start));
  }

  /** The highest run of a log that is kept; 0 when none is. */
  lastRun(name: string): number {
    return this.#log(name).segments.lastRun;
  }

  /**
   * How many lines of a log lie between two numbers that are not here: undefined when nobody knows, because Hamlet was
   * killed between the two.
   */
  countLost(name: string, from: number, to: number): number | undefined {
    return this.#ends.countLost(name, from, to);
  }

  /**
   * Writes down what is there, and where it ends: nothing more comes into the rings. What a full disk does not take is
   * left where the next Hamlet finds it.
   */
  async close(): Promise<void> {
    await this.ready;
    this.#stop.abort(new HamletError('CANCELLED', 'the logs are closed'));
    clearTimeout(this.#timer);
    await this.#tick;
    await this.#flush();
    const ends = [...this.#options.rings].map(([name, { written }]) => [name, written] as const);
    await this.#try(async () => this.#ends.add(Object.fromEntries(ends)));
    await Promise.all([...this.#logs.values()].map((log) => this.#try(() => log.close())));
  }

  async #open(): Promise<void> {
    await Promise.all([...this.#logs.values()].map((log) => this.#try(() => log.open())));
    this.#schedule();
  }

  #log(name: string): SegmentLog {
    const log = this.#logs.get(name);
    if (log === undefined) throw new HamletError('INTERNAL', `there is no log of ${name}`);
    return log;
  }

  #schedule(): void {
    if (this.#stop.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#tick = this.#flush().finally(() => this.#schedule());
    }, flushMs).unref();
  }

  /** Brings all that is in the rings to where a power cut does not reach it. */
  async #flush(): Promise<void> {
    await Promise.all(
      [...this.#logs.values()].map((log) =>
        this.#try(async () => {
          // What went wrong at the start may have passed.
          if (!log.isOpen) await log.open();
          do await this.#write(log);
          while (
            // At the end nothing more comes, and nothing is to be left.
            this.#stop.signal.aborted &&
            log.behind > 0
          );
          await log.segments.sync();
        }),
      ),
    );
    await this.#try(() => this.#keepBudget());
    const saves = [...this.#logs.values()].map(({ segments }) => this.#try(() => segments.dropped.save()));
    await Promise.all(saves);
    const nowMs = performance.now();
    if (![...this.#logs.values()].some(({ segments }) => segments.isFlooded(nowMs))) this.#pool.trim();
  }

  /** Writes a log. On a full disk the oldest segments make room for the newest lines. */
  async #write(log: SegmentLog): Promise<void> {
    for (;;) {
      try {
        await log.write();
        break;
      } catch (error) {
        if (!isFull(error)) throw error;
        if (!(await this.#dropOldest())) throw error;
        this.#tell(error, 'the disk is full: the oldest lines are given up for the newest');
      }
    }
    this.#pack();
  }

  /** Has the pool pack what can be packed, first of the log that has most of it. */
  #pack(): void {
    const nowMs = performance.now();
    const waiting = [...this.#logs.values()].map((log) => ({ log, raws: log.segments.packable(nowMs) }));
    for (const { log, raws } of waiting.sort((a, b) => b.raws.length - a.raws.length)) {
      if (this.#packing.size >= maxPacking || this.#stop.signal.aborted) return;
      const raw = raws.find(({ file }) => !this.#packing.has(file));
      if (raw === undefined) continue;
      this.#packing.add(raw.file);
      void this.#try(async () => {
        try {
          await log.segments.pack(raw, (from, to) =>
            this.#options.jobs.run('packSegment', { from, to }, this.#stop.signal),
          );
        } finally {
          this.#packing.delete(raw.file);
        }
        await this.#keepBudget();
        // After a failure the next write tries again.
        this.#pack();
      });
    }
  }

  async #keepBudget(): Promise<void> {
    const { maxBytes } = this.#options.settings;
    const logs = [...this.#logs.values()];
    while (logs.reduce((sum, { segments }) => sum + segments.bytes, 0) > maxBytes) {
      if (!(await this.#dropOldest())) return;
    }
  }

  /** Drops a segment of the log that has most: one that writes much costs nobody else's history. */
  async #dropOldest(): Promise<boolean> {
    for (const log of [...this.#logs.values()].sort((a, b) => b.segments.bytes - a.segments.bytes)) {
      if (await log.segments.drop()) return true;
    }
    return false;
  }

  /** What the disk does not give back is as good as not there. */
  async #read<T>(work: () => Promise<T | undefined>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#tell(error, 'the logs cannot be read from disk');
      return undefined;
    }
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#tell(error, 'the logs are not written to disk');
    }
  }

  /** Says what is wrong, but not over and over. */
  #tell(error: unknown, what: string): void {
    const nowMs = performance.now();
    if (nowMs - this.#toldMs < tellMs) return;
    this.#toldMs = nowMs;
    this.#options.log.warn({ err: error }, `${what}: ${messageOf(error)}`);
  }
}
