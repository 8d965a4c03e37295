import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, readdirSync, writeSync } from 'node:fs';
import path from 'node:path';
import { errnoOf, messageOf } from '../lib/errors.js';
import { replaceFile, writeFileAtomic } from '../lib/files.js';
import { startOf } from '../lib/ring/memory.js';

/**
 * How many starts are passed over when nobody knows the last one's number for sure: some may have written lines that
 * somebody has read and that never came to the disk. There are 2 million numbers (2 ** 53 / sequencesPerStart).
 */
const unknownStarts = 1_000;

export interface StartsOptions {
  /** Has the number of the last start; outlives the machine's. */
  readonly file: string;
  /** Takes its place where it cannot be written: in the run-time folder, which outlives Hamlet. */
  readonly note: string;
  /** The folder of the lines on disk, where there are any: their numbers tell of the start that wrote them. */
  readonly segments: string | undefined;
}

export interface Start {
  /** From 1. */
  readonly number: number;
  /** What somebody should know about it. */
  readonly problem: string | undefined;
}

/**
 * Counts a start of Hamlet on this node. No number comes twice: line numbers are made of it, and with a lower one the
 * lines on disk would count as another's. Neither a full disk nor a file that holds no number is a reason not to
 * start: the number is then above all that is known of.
 */
export function countStart({ file, note, segments }: StartsOptions): Start {
  const kept = read(file);
  const noted = read(note);
  const onDisk = segments === undefined ? 0 : lastStartIn(segments);
  const isKnown = kept !== 'unreadable';
  const last = Math.max(isKnown ? kept : unknownStarts, noted === 'unreadable' ? 0 : noted, onDisk);
  const number = last + 1 + (isKnown ? 0 : unknownStarts);
  const damage = isKnown
    ? []
    : [`${file} holds no number; the starts of Hamlet are counted on from ${number}`];
  const failure = write(file, number);
  if (failure === undefined) return { number, problem: damage[0] };
  const problem = `${file} cannot be written; this start, number ${number}, is only noted until the machine's next`;
  try {
    replaceFile(note, `${number}\n`, 0o600);
    return { number, problem: [...damage, `${problem}: ${messageOf(failure)}`].join('; ') };
  } catch (error) {
    const worse = `start number ${number} could not be noted in ${file} (${messageOf(failure)}) nor in ${note}`;
    return { number, problem: [...damage, `${worse}: ${messageOf(error)}`].join('; ') };
  }
}

/** Has the starts counted on from a number. Throws what the file system throws; then the file is as it was. */
export function noteStart(file: string, number: number): void {
  writeFileAtomic(file, `${number}\n`, 0o600);
}

/** The number that a file holds, 0 without one. */
function read(file: string): number | 'unreadable' {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return errnoOf(error) === 'ENOENT' ? 0 : 'unreadable';
  }
  return /^\d{1,15}\n?$/.test(text) ? Number(text) : 'unreadable';
}

/** Gives why it could not be done. */
function write(file: string, number: number): unknown {
  try {
    noteStart(file, number);
    return undefined;
  } catch (error) {
    try {
      overwrite(file, `${number}\n`);
      return undefined;
    } catch {
      return error;
    }
  }
}

/** A full disk has no room for a second file, but a few bytes of the one that is there change in their place. */
function overwrite(file: string, text: string): void {
  const fd = openSync(file, 'r+');
  try {
    const bytes = writeSync(fd, text, 0);
    ftruncateSync(fd, bytes);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The latest start that has lines on disk; the names of the files begin with the numbers of their lines. */
function lastStartIn(folder: string): number {
  let names: string[];
  try {
    names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  } catch {
    return 0;
  }
  const sequences = names.flatMap((name) => {
    const [, from, to] = /^(\d+)(?:-(\d+))?.*\.(?:raw|packed)$/.exec(path.basename(name)) ?? [];
    return [from, to].flatMap((digits) => (digits === undefined ? [] : Number(digits)));
  });
  return startOf(sequences.reduce((a, b) => Math.max(a, b), 0));
}
