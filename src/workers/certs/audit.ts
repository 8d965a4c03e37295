import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import * as v from 'valibot';
import { issuedCredential, type IssuedCredential } from '../../ipc/services/certs.js';
import { HamletError } from '../../lib/errors.js';

/** Of the file that is written and of the one before it; some 4,000 records each. */
const defaultMaxBytes = 1024 * 1024;

/**
 * The record of every credential that was handed out, or that the configuration forbade: a file of JSON lines in the state folder, 0600, and the one that
 * was full before it.
 */
export class AuditTrail {
  readonly #file: string;
  readonly #maxBytes: number;

  constructor(file: string, maxBytes = defaultMaxBytes) {
    this.#file = file;
    this.#maxBytes = maxBytes;
  }

  /** Adds a record; it is on the disk when this returns. Throws INTERNAL when it cannot be written. */
  add(record: IssuedCredential): void {
    try {
      if (existsSync(this.#file) && statSync(this.#file).size >= this.#maxBytes) {
        renameSync(this.#file, this.#older);
      }
      const fd = openSync(this.#file, 'a', 0o600);
      try {
        writeSync(fd, `${JSON.stringify(record)}\n`);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    } catch (cause) {
      throw new HamletError('INTERNAL', `the record ${this.#file} cannot be written`, { cause });
    }
  }

  /** The last `count` records, oldest first. A line that a power cut has cut off is left out. */
  last(count: number): IssuedCredential[] {
    const lines = [this.#older, this.#file]
      .filter((file) => existsSync(file))
      .flatMap((file) => readFileSync(file, 'utf8').split('\n'));
    return lines.flatMap((line) => parse(line) ?? []).slice(-count);
  }

  /** When the last of the credentials on record ends, milliseconds since the epoch; 0 without any. */
  heldUntilMs(): number {
    return this.last(Infinity).reduce((latest, { expiresAtMs }) => Math.max(latest, expiresAtMs), 0);
  }

  get #older(): string {
    return `${this.#file}.1`;
  }
}

function parse(line: string): IssuedCredential | undefined {
  try {
    return v.parse(issuedCredential, JSON.parse(line));
  } catch {
    return undefined;
  }
}
