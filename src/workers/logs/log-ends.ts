import { readFileSync, rmSync } from 'node:fs';
import * as v from 'valibot';
import { replaceFile, writeFileAtomic } from '../../lib/files.js';
import { sequencesPerStart, startOf } from '../../lib/ring/memory.js';

/** So many starts of Hamlet are remembered: more than anybody's saved position is old. */
const maxStarts = 64;

const endsFile = v.record(v.string(), v.record(v.string(), v.number()));
type Ends = v.InferOutput<typeof endsFile>;

export interface LogEndsOptions {
  readonly file: string;
  /** In memory, for the case that the disk is full. */
  readonly leftFile?: string;
  /** The number of this start of Hamlet, which has not ended, whatever a logs worker before this one thought. */
  readonly start: number;
}

/**
 * Where the logs ended when Hamlet was stopped in order, by the number of the start. The numbers of the next start begin
 * at a round number, and only who knows the end before it can tell whether a line is missing between the two.
 */
export class LogEnds {
  readonly #options: LogEndsOptions;
  #ends: Ends;

  constructor(options: LogEndsOptions) {
    this.#options = options;
    const { file, leftFile, start } = options;
    const left = leftFile === undefined ? {} : load(leftFile);
    const { [start]: early, ...ends } = { ...load(file), ...left };
    this.#ends = ends;
    if (early === undefined && Object.keys(left).length === 0) return;
    try {
      this.#write();
    } catch {
      // It is written again at the end in order, and without one the disk is the smaller trouble.
    }
  }

  /** How many lines lie between two numbers; undefined when nobody knows. */
  countLost(name: string, from: number, to: number): number | undefined {
    let lost = 0;
    let next = from;
    for (let start = startOf(from); start < startOf(to); start += 1) {
      const end = this.#ends[start]?.[name];
      // One that has used up its start's numbers went on with those of the next.
      if (end === undefined || startOf(end) !== start) return undefined;
      lost += end - next;
      next = (start + 1) * sequencesPerStart;
    }
    return lost + to - next;
  }

  /** Notes the ends of logs, the numbers behind their last lines, where it can. Throws what writing a file throws. */
  add(ends: Readonly<Record<string, number>>): void {
    const others = Object.entries(this.#ends).slice(-maxStarts);
    this.#ends = Object.fromEntries([...others, [String(this.#options.start), { ...ends }]]);
    try {
      this.#write();
    } catch (error) {
      const { leftFile } = this.#options;
      if (leftFile === undefined) throw error;
      replaceFile(leftFile, JSON.stringify(this.#ends), 0o600);
    }
  }

  #write(): void {
    const { file, leftFile } = this.#options;
    writeFileAtomic(file, JSON.stringify(this.#ends), 0o600);
    if (leftFile !== undefined) rmSync(leftFile, { force: true });
  }
}

/** A file that cannot be read says nothing about any end. */
function load(file: string): Ends {
  try {
    return v.parse(endsFile, JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return {};
  }
}
