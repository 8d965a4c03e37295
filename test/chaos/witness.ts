import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { errnoOf } from '../../src/lib/errors.js';

const everyMs = 100;
/** At most: a timer that is late makes it fewer. */
export const linesPerSecond = 1_000 / everyMs;

/**
 * Writes numbered lines into the pipes that the components have for their stdout, ten a second into each: what they
 * write there themselves nobody could say the whole of. They log to stderr alone, so these lines are all there is.
 */
export class Witness implements Disposable {
  readonly #pipes: readonly { readonly fd: number; next: number }[];
  readonly #timer: NodeJS.Timeout;

  constructor(files: Iterable<string>) {
    this.#pipes = [...files].map((file) => ({
      fd: openSync(file, constants.O_RDWR | constants.O_NONBLOCK),
      next: 1,
    }));
    this.#timer = setInterval(() => this.#write(), everyMs);
  }

  /** The number in a line of a witness, or undefined for any other line. */
  static numberIn(line: string): number | undefined {
    const digits = /^chaos line (\d+)$/.exec(line)?.[1];
    return digits === undefined ? undefined : Number(digits);
  }

  #write(): void {
    for (const pipe of this.#pipes) {
      try {
        writeSync(pipe.fd, `chaos line ${pipe.next}\n`);
        pipe.next += 1;
      } catch (error) {
        // Nobody reads just now; a component would wait.
        if (errnoOf(error) !== 'EAGAIN') throw error;
      }
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    for (const { fd } of this.#pipes) closeSync(fd);
  }
}
