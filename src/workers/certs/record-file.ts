import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { syncFolder, writeAll } from '../../lib/files.js';

const newline = 0x0a;

/** A file of lines that only grows, 0600, and the one that was full before it. */
export class RecordFile {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** How long the file is that is written to, without the one before it. */
  get bytes(): number {
    return existsSync(this.#file) ? statSync(this.#file).size : 0;
  }

  /** Of the file before the one that is written to, oldest first. */
  olderLines(): string[] {
    return linesOf(this.#older);
  }

  /** All of them, oldest first. A line that a power cut has cut off is among them. */
  lines(): string[] {
    return [...this.olderLines(), ...linesOf(this.#file)];
  }

  /** Adds lines; they are on the disk when this returns. Throws what the file system says. */
  append(lines: readonly string[]): void {
    const isNew = this.bytes === 0;
    const fd = openSync(this.#file, 'a+', 0o600);
    try {
      // What a power cut or a full disk has left of a line must not take this one with it.
      const start = endsWithinLine(fd) ? '\n' : '';
      writeAll(fd, Buffer.from(`${start}${lines.join('\n')}\n`));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (isNew) syncFolder(path.dirname(this.#file));
  }

  /** Begins a new file; what was in the one before is gone. */
  rollOver(): void {
    renameSync(this.#file, this.#older);
  }

  get #older(): string {
    return `${this.#file}.1`;
  }
}

function linesOf(file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
}

function endsWithinLine(fd: number): boolean {
  const { size } = fstatSync(fd);
  const last = Buffer.alloc(1);
  return size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== newline;
}
