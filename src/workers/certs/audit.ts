import path from 'node:path';
import * as v from 'valibot';
import { issuedCredential, type IssuedCredential } from '../../ipc/services/certs.js';
import { HamletError } from '../../lib/errors.js';
import { RecordFile } from './record-file.js';

/** Of the file that is written and of the one before it; some 4,000 records each. */
const defaultMaxBytes = 1024 * 1024;

/** How many times as long a file may get before one is dropped that has credentials in it that are still good. */
const liveShare = 8;

/** What is kept of the groups of one record, in characters: 64 of 253 each can be asked for. */
const maxGroupsLength = 512;

/** Of all groups the one that has to be seen. */
const masters = 'system:masters';

/** How each file begins: what is known of the credentials before it, so that it can be dropped. */
const header = v.strictObject({ heldUntilMs: v.number() });

/**
 * The record of every credential that was handed out, and of those that the configuration forbade: files of JSON lines
 * in the state folder. Refusals are in one of their own, because whoever asks in vain could push out all others.
 */
export class AuditTrail {
  readonly #file: string;
  readonly #maxBytes: number;
  readonly #issued: RecordFile;
  readonly #refused: RecordFile;
  /** When the last credential of all ends, and of those in the file before the one that is written. */
  #heldUntilMs: number | undefined;
  #olderUntilMs: number | undefined;

  /** Refusals lie beside `file`, in `refused-NAME`. */
  constructor(file: string, maxBytes = defaultMaxBytes) {
    this.#file = file;
    this.#maxBytes = maxBytes;
    this.#issued = new RecordFile(file);
    this.#refused = new RecordFile(path.join(path.dirname(file), `refused-${path.basename(file)}`));
  }

  /**
   * Adds a record, of whose groups only the first may be kept; it is on the disk when this returns. Throws INTERNAL when
   * it cannot be written.
   */
  add(record: IssuedCredential): void {
    const kept = { ...record, groups: shortened(record.groups) };
    try {
      if (record.refused === undefined) this.#addIssued(kept);
      else this.#addRefused(kept);
    } catch (cause) {
      throw new HamletError('INTERNAL', `the record ${this.#file} cannot be written`, { cause });
    }
  }

  /** The last `count` records, oldest first. A line that a power cut has cut off is left out. */
  last(count: number): IssuedCredential[] {
    const records = [this.#issued, this.#refused].flatMap((file) => placed(file.lines().flatMap(parse)));
    return records
      .sort((one, other) => one.placeMs - other.placeMs)
      .map(({ record }) => record)
      .slice(-count);
  }

  /** When the last of the credentials ends that were ever on record, milliseconds since the epoch; 0 without any. */
  heldUntilMs(): number {
    this.#heldUntilMs ??= latestEnd(this.#issued.lines());
    return this.#heldUntilMs;
  }

  #addIssued(record: IssuedCredential): void {
    const heldUntilMs = this.heldUntilMs();
    this.#olderUntilMs ??= latestEnd(this.#issued.olderLines());
    const { bytes } = this.#issued;
    const maxBytes = this.#olderUntilMs > record.atMs ? this.#maxBytes * liveShare : this.#maxBytes;
    const isFull = bytes >= maxBytes;
    if (isFull) {
      this.#issued.rollOver();
      this.#olderUntilMs = heldUntilMs;
    }
    const start = isFull || bytes === 0 ? [JSON.stringify({ heldUntilMs } satisfies Header)] : [];
    this.#issued.append([...start, JSON.stringify(record)]);
    this.#heldUntilMs = Math.max(heldUntilMs, record.expiresAtMs);
  }

  #addRefused(record: IssuedCredential): void {
    if (this.#refused.bytes >= this.#maxBytes) this.#refused.rollOver();
    this.#refused.append([JSON.stringify(record)]);
  }
}

type Header = v.InferOutput<typeof header>;

/** The first of the groups, and how many there are more; who is a master is seen in any case. */
function shortened(groups: readonly string[]): string[] {
  const kept: string[] = [];
  let length = 0;
  for (const group of [...groups].sort((one, other) => Number(other === masters) - Number(one === masters))) {
    length += group.length;
    if (length > maxGroupsLength) return [...kept, `… and ${groups.length - kept.length} more`];
    kept.push(group);
  }
  return [...groups];
}

/**
 * Each record of a file with its place among those of others: its time, but never after the one that follows it in its
 * file, which a clock that was set would make it.
 */
function placed(records: readonly IssuedCredential[]): { placeMs: number; record: IssuedCredential }[] {
  let placeMs = Infinity;
  return [...records]
    .reverse()
    .map((record) => ({ record, placeMs: (placeMs = Math.min(placeMs, record.atMs)) }))
    .reverse();
}

function latestEnd(lines: readonly string[]): number {
  return lines.reduce((latest, line) => {
    const value = valueOf(line);
    const held = v.is(header, value) ? value.heldUntilMs : 0;
    const ends = v.is(issuedCredential, value) ? value.expiresAtMs : 0;
    return Math.max(latest, held, ends);
  }, 0);
}

function parse(line: string): IssuedCredential[] {
  const value = valueOf(line);
  return v.is(issuedCredential, value) ? [value] : [];
}

function valueOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
