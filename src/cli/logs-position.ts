import { readFileSync } from 'node:fs';
import { HamletError, errnoOf } from '../lib/errors.js';
import { replaceFile } from '../lib/files.js';
import type { LogPosition, StreamComponentLogsResponse } from '../gen/hamlet/debug/v1/debug.js';

/** How far each log has been printed; in a file, if there is one, for the next time. */
export class Positions {
  readonly #next: Map<string, number>;
  readonly #file: string | undefined;
  #isSaved = false;

  /** Throws DATA_LOSS for a file that is something else, FAILED_PRECONDITION for one that cannot be written. */
  constructor(file: string | undefined) {
    this.#file = file;
    this.#next = new Map(file === undefined ? [] : Object.entries(load(file)));
    // Rather now than when there is something to lose.
    this.save();
  }

  get list(): LogPosition[] {
    return [...this.#next].map(([component, next]) => ({ component, next }));
  }

  /** Notes what has been printed. */
  advance({ records, positions }: StreamComponentLogsResponse): void {
    for (const { component, sequence, gap } of records) this.#next.set(component, gap?.next ?? sequence + 1);
    for (const { component, next } of positions) this.#next.set(component, next);
    this.#isSaved = false;
  }

  /**
   * Puts the file in place, if there is one to be and it would be another.
   * Throws FAILED_PRECONDITION when that cannot be done.
   */
  save(): void {
    if (this.#isSaved || this.#file === undefined) return;
    try {
      replaceFile(this.#file, `${JSON.stringify(Object.fromEntries(this.#next), null, 2)}\n`, 0o600);
    } catch (error) {
      throw new HamletError('FAILED_PRECONDITION', `the position cannot be saved in ${this.#file}`, {
        cause: error,
      });
    }
    this.#isSaved = true;
  }
}

function load(file: string): Record<string, number> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return {};
    throw error;
  }
  try {
    const positions: unknown = JSON.parse(text);
    if (isPositions(positions)) return positions;
  } catch {
    // Told below, together with whatever else is not a position.
  }
  throw new HamletError('DATA_LOSS', `${file} is no saved position; take it away to begin anew`);
}

function isPositions(value: unknown): value is Record<string, number> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((next) => Number.isSafeInteger(next) && Number(next) >= 0);
}
