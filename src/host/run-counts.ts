import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { replaceFile } from '../lib/files.js';

const countsFile = v.record(v.string(), v.pipe(v.number(), v.safeInteger(), v.minValue(1)));

/**
 * How often everything that has a log was started in the life of the state folder, so that a run's number does not come
 * again after a reboot.
 */
export class RunCounts {
  readonly #file: string;
  readonly #counts: Map<string, number>;
  #pending: NodeJS.Immediate | undefined;

  constructor(file: string) {
    this.#file = file;
    this.#counts = new Map(Object.entries(load(file)));
  }

  /** The latest run; 0 before the first. */
  last(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  /**
   * Notes that a run begins, unless it is known. It is written in the event loop's next turn, when the run has begun, and
   * nothing is synced, as both would take their time from each start: a cut of the power may cost the last counts, and the
   * next run has their number again.
   */
  note(name: string, run: number): void {
    if (run <= this.last(name)) return;
    this.#counts.set(name, run);
    this.#pending ??= setImmediate(() => this.flush());
  }

  /** Writes what has been noted and not been written. */
  flush(): void {
    if (this.#pending === undefined) return;
    clearImmediate(this.#pending);
    this.#pending = undefined;
    try {
      replaceFile(this.#file, JSON.stringify(Object.fromEntries(this.#counts)), 0o600);
    } catch {
      // A full disk is no reason not to start anything; the next run writes all counts again.
    }
  }
}

/** What cannot be read counts from the beginning: it is worth less than the start of a node. */
function load(file: string): Record<string, number> {
  try {
    return v.parse(countsFile, JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return {};
  }
}
