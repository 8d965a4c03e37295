/**
 * The memory of a log: plain shared memory that the main thread owns and the logs worker fills, laid out so that a
 * writer that dies between any two stores leaves what the next one can go on from.
 */

/**
 * The numbers of each start of Hamlet begin at a multiple of this, so that none comes again whatever the last start had
 * no time to write down. A log that needs more goes on with those of the next start, which then begins behind them.
 */
export const sequencesPerStart = 2 ** 32;

/** The start of Hamlet in which a line got its number; a later one for a line that needed a number of that. */
export const startOf = (sequence: number): number => Math.floor(sequence / sequencesPerStart);

/** What bounds a ring. */
export interface RingLimits {
  readonly maxLines: number;
  /** Bound of the bytes of all lines, newlines included; rounded down to whole pages. */
  readonly maxBytes: number;
  /** A longer line is cut to this many bytes, the last three of them dots. */
  readonly maxLineBytes: number;
  /** The unit in which memory is claimed; a power of two. */
  readonly pageBytes: number;
}

/** A node's rings: small pages, because on average one and a half of them are claimed and not filled. */
export const defaultRingLimits: RingLimits = {
  maxLines: 5_000,
  maxBytes: 16 * 1024 * 1024,
  maxLineBytes: 16_384,
  pageBytes: 8_192,
};

/** As much as a pipe holds (pipe(7)), so that one read empties it; no more than `maxBlockBytes` of lib/line-ends.ts. */
export const landingBytes = 65_536;

export interface RingMemory {
  readonly limits: RingLimits;
  /** Counters, the page table and the index of lines. */
  readonly index: SharedArrayBuffer;
  /** The bytes of the lines; grows page by page up to `limits.maxBytes`. */
  readonly pages: SharedArrayBuffer;
}

export interface PipeMemory {
  /** Words that two threads exchange, see `pipeWord`. */
  readonly words: SharedArrayBuffer;
  /** The splitter's counters, the beginning of an unfinished line, and the place where reads land. */
  readonly splitter: SharedArrayBuffer;
}

/** One pipe of one log: where it is read and where its memory lies. */
export interface LogPipe {
  readonly name: string;
  readonly source: 'stdout' | 'stderr';
  readonly path: string;
  /** Whether who writes into it may go on when Hamlet ends. */
  readonly outlives: boolean;
  readonly memory: PipeMemory;
}

/** Where the lines are kept beyond the memory. */
export interface SegmentSettings {
  readonly dir: string;
  /** Bound of what all logs take there together. */
  readonly maxBytes: number;
  /** In memory: where the next Hamlet finds what a full disk did not take. Without it that is lost. */
  readonly leftDir?: string;
}

/** All that the logs worker is started with. */
export interface LogMemory {
  /** Without it nothing is kept beyond the memory. */
  readonly segments?: SegmentSettings;
  readonly rings: readonly { readonly name: string; readonly memory: RingMemory }[];
  readonly pipes: readonly LogPipe[];
  /** One Int32 that the main thread counts up and notifies when a run has ended. */
  readonly wake: SharedArrayBuffer;
}

/** The words of `PipeMemory.words`, an Int32Array. */
export const pipeWord = {
  /** The run that what is read now belongs to. Written by the main thread. */
  run: 0,
  /** Counts the ends of runs, by the main thread. */
  ended: 1,
  /** How many of them the logs worker has drained the pipe for. */
  drained: 2,
  /** The run that ended last. */
  endedRun: 3,
} as const;

/** Words of the ring's control block, a Float64Array: sequence numbers need more than 32 bits. */
export const ringWord = {
  /** The oldest line that is held, the line that will be written next, and the first line of all. */
  first: 0,
  written: 1,
  origin: 2,
} as const;
const ringControlBytes = 24;

/** Words of one line in the index, a Uint32Array. */
export const lineWord = {
  /** Where the line starts, modulo 2^32; it ends where the next one starts. */
  start: 0,
  wallLow: 1,
  monotonicLow: 2,
  /** The upper 16 bits of both times, wall first. */
  high: 3,
  /** run << 2 | source << 1 | cut */
  run: 4,
} as const;
export const lineWords = 5;

export interface RingViews {
  readonly control: Float64Array;
  /** Physical page by logical page, modulo its length, which is a power of two. */
  readonly table: Uint16Array;
  /** One line more than `maxLines`: the start of the line to come is the end of the last one. */
  readonly index: Uint32Array;
}

function tableLength(limits: RingLimits): number {
  const pages = Math.floor(limits.maxBytes / limits.pageBytes);
  return 2 ** Math.ceil(Math.log2(pages + 1));
}

/** Makes the memory of an empty ring whose first line will have the number `firstSequence`. */
export function createRingMemory(limits: RingLimits, firstSequence: number): RingMemory {
  const pages = Math.floor(limits.maxBytes / limits.pageBytes);
  const isPower = Number.isInteger(Math.log2(limits.pageBytes));
  const bytes = pages * limits.pageBytes;
  // Positions are compared as signed numbers of 32 bits.
  if (!isPower || pages > 65_535 || bytes < 2 * limits.maxLineBytes + limits.pageBytes || bytes >= 2 ** 31) {
    throw new RangeError(`a ring cannot have ${pages} pages of ${limits.pageBytes} bytes`);
  }
  const tableBytes = tableLength(limits) * 2;
  const indexStart = Math.ceil((ringControlBytes + tableBytes) / 8) * 8;
  const memory: RingMemory = {
    limits,
    index: new SharedArrayBuffer(indexStart + (limits.maxLines + 1) * lineWords * 4),
    pages: new SharedArrayBuffer(0, { maxByteLength: pages * limits.pageBytes }),
  };
  ringViews(memory).control.fill(firstSequence);
  return memory;
}

/** The typed arrays over a ring's memory. */
export function ringViews({ limits, index }: RingMemory): RingViews {
  const length = tableLength(limits);
  const indexStart = Math.ceil((ringControlBytes + length * 2) / 8) * 8;
  return {
    control: new Float64Array(index, 0, ringControlBytes / 8),
    table: new Uint16Array(index, ringControlBytes, length),
    index: new Uint32Array(index, indexStart, (limits.maxLines + 1) * lineWords),
  };
}

/** Words of the splitter's control block, a Float64Array. */
export const splitterWord = {
  state: 0,
  /** Bytes in the landing, and how many of them are dealt with. */
  length: 1,
  consumed: 2,
  /** Bytes of the unfinished line that are kept, and that have come. */
  kept: 3,
  open: 4,
  /** What the words above and the ring's `written` become when the step is applied. */
  nextWritten: 5,
  nextConsumed: 6,
  nextKept: 7,
  nextOpen: 8,
} as const;
const splitterControlBytes = 128;

export interface SplitterViews {
  readonly control: Float64Array;
  readonly kept: Buffer;
  readonly landing: Buffer;
}

/** Makes the memory of one pipe. Shared memory is zero and costs nothing until it is touched. */
export function createPipeMemory(limits: RingLimits, landing = landingBytes): PipeMemory {
  const kept = Math.ceil(limits.maxLineBytes / 8) * 8;
  return {
    words: new SharedArrayBuffer(16),
    splitter: new SharedArrayBuffer(splitterControlBytes + kept + landing),
  };
}

/** The typed arrays over a pipe's memory. */
export function splitterViews({ splitter }: PipeMemory, limits: RingLimits): SplitterViews {
  const landingStart = splitterControlBytes + Math.ceil(limits.maxLineBytes / 8) * 8;
  return {
    control: new Float64Array(splitter, 0, splitterControlBytes / 8),
    kept: Buffer.from(splitter, splitterControlBytes, limits.maxLineBytes),
    landing: Buffer.from(splitter, landingStart),
  };
}
