import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import * as v from 'valibot';
import { restart as restartSchema, type Restart, type RestartFields } from '../ipc/services/restart.js';
import { Broadcast } from '../lib/broadcast.js';
import { messageOf } from '../lib/errors.js';
import { writeFileAtomic } from '../lib/files.js';
import type { Log } from '../lib/log.js';

/** How many restarts are kept. */
const maxRestarts = 256;
/** The file is written anew when it has so many lines: a restart takes a few, one for each step. */
const maxLines = 8 * maxRestarts;

/**
 * The restarts of everything on this node, bounded, and kept across restarts of Hamlet and of the machine. The file
 * has a JSON text in each line; a later line with the same number takes the place of an earlier one, and one that is
 * no whole record, as a power cut leaves it, is passed over.
 */
export class History {
  readonly #file: string;
  readonly #log: Log | undefined;
  readonly #restarts = new Map<number, Restart>();
  readonly #changes = new Broadcast<Restart>();
  #lines = 0;
  #writing = Promise.resolve();

  /** Reads what there is. A file that cannot be read counts as empty, and is written anew. */
  constructor(file: string, log?: Log) {
    this.#file = file;
    this.#log = log;
    const lines = readLines(file);
    for (const line of lines) {
      const restart = parseRestart(line);
      if (restart !== undefined) this.#keep(restart);
    }
    // What is no record would run together with the next one.
    this.#lines = lines.length === this.#restarts.size && lines.length > 0 ? lines.length : maxLines;
  }

  /** The latest ones, oldest first: of one name, or of all for an empty one; 0 means all that are kept. */
  list(name: string, last: number): readonly Restart[] {
    const found = [...this.#restarts.values()].filter((restart) => name === '' || restart.name === name);
    return last === 0 ? found : found.slice(-last);
  }

  /** The latest one of each of these names, where it is not on record as well again. */
  open(names: readonly string[]): readonly Restart[] {
    const latest = new Map([...this.#restarts.values()].map((restart) => [restart.name, restart]));
    return names.flatMap((name) => latest.get(name) ?? []).filter(({ healthyMs }) => healthyMs === null);
  }

  /** Those that a restart brought about, by name. */
  tookWith(id: number): readonly string[] {
    const names = [...this.#restarts.values()].filter(({ causeId }) => causeId === id);
    return [...new Set(names.map(({ name }) => name))];
  }

  /** Writes a restart down: a new one without a number, or what has become of one. Gives its number. */
  put(id: number | null, fields: RestartFields): number {
    const restart = { id: id ?? Math.max(0, ...this.#restarts.keys()) + 1, ...fields };
    this.#keep(restart);
    this.#changes.send(restart);
    this.#writing = this.#writing.then(() => this.#write(restart));
    return restart.id;
  }

  /** Each restart that begins or moves on from now on, until the signal is aborted. */
  watch(signal: AbortSignal): AsyncIterable<Restart> {
    return this.#changes.subscribe(signal);
  }

  /** Resolves when all is on the disk, or was given up. */
  written(): Promise<void> {
    return this.#writing;
  }

  #keep(restart: Restart): void {
    this.#restarts.set(restart.id, restart);
    if (this.#restarts.size <= maxRestarts) return;
    const [oldest] = this.#restarts.keys();
    if (oldest !== undefined) this.#restarts.delete(oldest);
  }

  async #write(restart: Restart): Promise<void> {
    try {
      if (this.#lines >= maxLines) {
        const all = [...this.#restarts.values()];
        writeFileAtomic(this.#file, all.map((one) => `${JSON.stringify(one)}\n`).join(''), 0o600);
        this.#lines = all.length;
        return;
      }
      this.#lines += 1;
      await using file = await open(this.#file, 'a', 0o600);
      await file.appendFile(`${JSON.stringify(restart)}\n`);
      await file.datasync();
    } catch (error) {
      // What is kept in memory is written with the next one: a full disk may have left a part of a line.
      this.#lines = maxLines;
      this.#log?.error({ err: error }, `the history was not written: ${messageOf(error)}`);
    }
  }
}

function readLines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  } catch {
    return [];
  }
}

function parseRestart(line: string): Restart | undefined {
  try {
    return v.parse(restartSchema, JSON.parse(line));
  } catch {
    return undefined;
  }
}
