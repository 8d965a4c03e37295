import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { damage } from './fault.js';

/** C has no place in dist/: it is compiled from where it was written. */
const sources = fileURLToPath(new URL('../../../test/chaos', import.meta.url));

function compile(source: string, target: string, ...options: string[]): string {
  execFileSync('gcc', ['-O2', '-Wall', ...options, '-o', target, path.join(sources, source), '-ldl']);
  return target;
}

/** The wall clock of Hamlet alone: all that its threads and its libraries are told of the time (clock.c). */
export class Clock {
  readonly #file: string;
  readonly #library: string;

  constructor(folder: string) {
    this.#file = path.join(folder, 'clock');
    this.#library = compile('clock.c', path.join(folder, 'clock.so'), '-shared', '-fPIC');
    this.#set(0);
  }

  /** What Hamlet has to be started with; it gives it on to its successor and to no component. */
  get env(): Readonly<Record<string, string>> {
    return { LD_PRELOAD: this.#library, CHAOS_CLOCK: this.#file };
  }

  /** Steps the clock, and back when the result is disposed of. */
  step(seconds: number): Disposable {
    this.#set(seconds);
    return damage(() => this.#set(0));
  }

  /** Written in place: the process has the file mapped. */
  #set(seconds: number): void {
    // All machines that Hamlet runs on are little-endian.
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(Math.round(seconds)));
    const fd = openSync(this.#file, constants.O_RDWR | constants.O_CREAT);
    writeSync(fd, bytes, 0, bytes.length, 0);
    closeSync(fd);
  }
}

/** Makes a process exit with code 0 (exit.c). */
export class Exit {
  readonly #program: string;

  constructor(folder: string) {
    this.#program = compile('exit.c', path.join(folder, 'exit'));
  }

  /** Returns when the process has ended. */
  run(pid: number): void {
    execFileSync(this.#program, [String(pid)]);
  }
}
