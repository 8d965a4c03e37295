import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { writeFileAtomic } from '../../lib/files.js';
import { sequencesPerStart, startOf } from '../../lib/ring/memory.js';

/** So many starts of Hamlet are remembered: more than anybody's saved position is old. */
const maxStarts = 64;

const endsFile = v.record(v.string(), v.record(v.string(), v.number()));
type Ends = v.InferOutput<typeof endsFile>;

/**
 * Where the logs ended when Hamlet was stopped in order, by the number of the start. The numbers of the next start begin
 * at a round number, and only who knows the end before it can tell whether a line is missing between the two.
 */
export class LogEnds {
  readonly #file: string;
  readonly #start: number;
  #ends: Ends;

  /** `start` is this start of Hamlet, which has not ended, whatever a logs worker before this one thought. */
  constructor(file: string, start: number) {
    this.#file = file;
    this.#start = start;
    const { [start]: early, ...ends } = load(file);
    this.#ends = ends;
    if (early === undefined) return;
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

  /** Notes the ends of logs, the numbers behind their last lines. Throws what writing a file throws. */
  add(ends: Readonly<Record<string, number>>): void {
    const others = Object.entries(this.#ends).slice(-maxStarts);
    this.#ends = Object.fromEntries([...others, [String(this.#start), { ...ends }]]);
    this.#write();
  }

  #write(): void {
    writeFileAtomic(this.#file, JSON.stringify(this.#ends), 0o600);
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
