import { fastLineEnds, maxBlockBytes, plainLineEnds, type LineEnds } from './line-ends.js';
import { copyBytes } from './ring/copy-bytes.js';
import { trueLengthBytes } from './ring/block.js';
import { splitterViews, splitterWord, type PipeMemory } from './ring/memory.js';
import type { Ring, Stamp, WrapView } from './ring/ring.js';

const newlineBytes = Uint8Array.of(10);
const dots = Buffer.from('...');
/** More ends than this in one batch are rare: 64 KiB of lines of 16 bytes. */
const maxBatchLines = 4_096;
/** Copying these into a landing is far faster than filling it with a number. */
const zeros = new Uint8Array(maxBlockBytes);

/** All splitters of a thread search in turn. */
let lineEnds: LineEnds | undefined;

/**
 * The states of a splitter, in its shared memory. Each step is written down before it is done (`next…`), so that a
 * successor can do it again from any point: that is why no line is lost or doubled when the thread dies.
 */
const state = {
  /** The landing is zero and waits for a read. What is not zero came in a read whose end the reader did not live. */
  armed: 0,
  /** The landing holds `length` bytes. */
  filled: 1,
  /** Lines are staged in the ring; `nextWritten` makes them count. */
  staged: 2,
  /** What was left without a newline is kept; the landing is to be zeroed. */
  clearing: 3,
} as const;

const asItIs: WrapView = (view) => view;

/** The clocks that lines are stamped with. */
export interface Clock {
  wallMs(): number;
  monotonicUs(): number;
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicUs: () => Number(process.hrtime.bigint() / 1_000n),
};

/** The beginning of a line whose end has not come. */
export interface UnfinishedLine {
  /** How many bytes of it have come; as many of them as a line may have are kept. */
  readonly bytes: number;
  readonly kept: Buffer;
}

export interface LineSplitterOptions {
  readonly memory: PipeMemory;
  readonly ring: Ring;
  readonly source: 'stdout' | 'stderr';
  /** Hears of each batch of lines that is in the ring, before the next one. */
  readonly onBatch?: () => void;
  readonly clock?: Clock;
  readonly wrap?: WrapView;
}

/**
 * Cuts what comes out of one pipe into lines and puts them into the ring. Bytes are only ever compared with the
 * newline: NUL and invalid UTF-8 pass as they are.
 */
export class LineSplitter {
  /** Where a read has to put its bytes, from the beginning on; `received` has to follow at once. */
  readonly landing: Buffer;
  readonly #ring: Ring;
  readonly #source: 'stdout' | 'stderr';
  readonly #clock: Clock;
  readonly #onBatch: () => void;
  readonly #control: Float64Array;
  readonly #kept: Buffer;
  readonly #bytes: Buffer;
  readonly #lineEnds: LineEnds;
  readonly #ends = new Uint32Array(maxBatchLines);
  readonly #trueLength = Buffer.alloc(trueLengthBytes);

  /** Takes up the pipe's memory; call `recover` before the first read. */
  constructor(options: LineSplitterOptions) {
    const { memory, ring, source, clock = systemClock, wrap = asItIs } = options;
    const views = splitterViews(memory, ring.limits);
    this.#ring = ring;
    this.#source = source;
    this.#clock = clock;
    this.#onBatch = options.onBatch ?? (() => undefined);
    this.#control = wrap(views.control);
    this.#kept = wrap(views.kept);
    this.#bytes = wrap(views.landing);
    this.#lineEnds = lineEnds ??= fastLineEnds() ?? plainLineEnds();
    this.landing = views.landing;
  }

  /**
   * Finishes what a predecessor that died had begun: bytes that it had read and not yet put into the ring.
   * Bytes that are no longer known to have been read are lost: trailing NULs of that one read.
   */
  recover(run: number): void {
    this.redo();
    if (this.#get('state') === state.armed) {
      let length = this.landing.length;
      while (length > 0 && this.landing[length - 1] === 0) length -= 1;
      if (length > 0) this.received(length, run);
    } else {
      this.#split(run);
    }
  }

  /** Applies the step that a predecessor had written down. Of two splitters of a ring both do this before either reads. */
  redo(): void {
    if (this.#get('state') === state.staged) {
      this.#applyLines();
      this.#ring.recover();
    }
  }

  /** Takes the `length` bytes that a read has put into the landing. Their lines belong to `run`. */
  received(length: number, run: number): void {
    this.#set('consumed', 0);
    this.#set('length', length);
    this.#set('state', state.filled);
    this.#split(run);
  }

  /** Makes a line of what has come without a newline: nothing will follow it. */
  flush(run: number): void {
    if (this.#get('open') === 0) return;
    this.#set('consumed', 0);
    this.#set('length', 0);
    this.#set('state', state.filled);
    this.#stageLine(0, run);
    this.#keepRest();
  }

  /** What has come without a newline; undefined when nothing has. To be asked between two reads. */
  get unfinished(): UnfinishedLine | undefined {
    const bytes = this.#get('open');
    return bytes === 0 ? undefined : { bytes, kept: this.#kept.subarray(0, this.#get('kept')) };
  }

  /** Goes on with a line that another splitter has begun. To be called before the first read. */
  resume({ bytes, kept }: UnfinishedLine): void {
    const fitting = kept.subarray(0, this.#kept.length);
    this.#kept.set(fitting);
    this.#set('length', 0);
    this.#set('nextKept', fitting.length);
    this.#set('nextOpen', bytes);
    this.#set('state', state.clearing);
    this.#keepRest();
  }

  #split(run: number): void {
    if (this.#get('state') !== state.clearing) {
      const { ends } = this.#lineEnds;
      const count = this.#lineEnds.find(this.#bytes, this.#get('length'));
      let next = 0;
      // A predecessor may have dealt with some of them.
      while (next < count && (ends[next] ?? 0) <= this.#get('consumed')) next += 1;
      while (next < count) {
        const end = (ends[next] ?? 0) - 1;
        if (this.#get('open') > 0 || end - this.#get('consumed') > this.#ring.limits.maxLineBytes) {
          this.#stageLine(end, run);
          next += 1;
        } else next += this.#stageLines(ends.subarray(next, count), run);
      }
    }
    this.#keepRest();
  }

  /** As many whole lines as go in at once; `ends` are the places behind them, the first one's length is allowed. */
  #stageLines(ends: Uint32Array, run: number): number {
    const { maxLines, maxLineBytes } = this.#ring.limits;
    const start = this.#get('consumed');
    const mostLines = Math.min(maxLines, maxBatchLines, ends.length);
    const mostBytes = this.#ring.maxBatchBytes;
    let count = 0;
    let begin = start;
    while (count < mostLines) {
      const end = ends[count] ?? 0;
      if (end - 1 - begin > maxLineBytes || end - start > mostBytes) break;
      this.#ends[count] = end - start;
      count += 1;
      begin = end;
    }
    const lines = this.#bytes.subarray(start, begin);
    const written = this.#ring.stage([lines], this.#ends, count, this.#stamp(run, false));
    this.#finishLines(written, begin);
    return count;
  }

  /** One line that is cut or begins in an earlier read; it ends at `end` of the landing. */
  #stageLine(end: number, run: number): void {
    const { maxLineBytes } = this.#ring.limits;
    const start = this.#get('consumed');
    const kept = this.#get('kept');
    const trueBytes = this.#get('open') + end - start;
    const isCut = trueBytes > maxLineBytes;
    const head = this.#kept.subarray(0, isCut ? Math.min(kept, maxLineBytes - dots.length) : kept);
    const room = isCut ? maxLineBytes - dots.length - head.length : end - start;
    const parts: Uint8Array[] = [head, this.#bytes.subarray(start, start + room)];
    if (isCut) {
      this.#trueLength.writeUInt32LE(Math.min(trueBytes, 0xffff_ffff));
      parts.push(dots, this.#trueLength);
    }
    parts.push(newlineBytes);
    this.#ends[0] = parts.reduce((sum, part) => sum + part.length, 0);
    const written = this.#ring.stage(parts, this.#ends, 1, this.#stamp(run, isCut));
    // A flush has no newline in the landing to step over.
    this.#finishLines(written, Math.min(end + 1, this.#get('length')));
  }

  #finishLines(written: number, consumed: number): void {
    this.#set('nextWritten', written);
    this.#set('nextConsumed', consumed);
    this.#set('state', state.staged);
    this.#applyLines();
    this.#onBatch();
  }

  #applyLines(): void {
    this.#ring.commit(this.#get('nextWritten'));
    this.#set('consumed', this.#get('nextConsumed'));
    this.#set('kept', 0);
    this.#set('open', 0);
    this.#set('state', state.filled);
  }

  /** Keeps what has no newline yet, as far as a line may be long, and makes the landing ready for the next read. */
  #keepRest(): void {
    if (this.#get('state') !== state.clearing) {
      const start = this.#get('consumed');
      const rest = this.#get('length') - start;
      const kept = this.#get('kept');
      const fitting = Math.min(rest, this.#kept.length - kept);
      if (fitting > 0) this.#kept.set(this.#bytes.subarray(start, start + fitting), kept);
      this.#set('nextKept', kept + fitting);
      this.#set('nextOpen', this.#get('open') + rest);
      this.#set('state', state.clearing);
    }
    this.#set('kept', this.#get('nextKept'));
    this.#set('open', this.#get('nextOpen'));
    // `length` stays until the bytes are gone: a successor zeroes them again.
    copyBytes(this.#bytes, 0, zeros.subarray(0, this.#get('length')));
    this.#set('state', state.armed);
  }

  #stamp(run: number, isCut: boolean): Stamp {
    return {
      wallMs: this.#clock.wallMs(),
      monotonicUs: this.#clock.monotonicUs(),
      run,
      source: this.#source,
      isCut,
    };
  }

  #get(word: keyof typeof splitterWord): number {
    return this.#control[splitterWord[word]] ?? 0;
  }

  #set(word: keyof typeof splitterWord, value: number): void {
    this.#control[splitterWord[word]] = value;
  }
}
