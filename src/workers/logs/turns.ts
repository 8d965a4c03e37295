/** After so much work for followers the pipes have their turn, whoever else waits. */
const maxMs = 1;

/** Does the followers' work bit by bit, in the order in which it was asked for, with the event loop in between. */
export class Turns {
  #queue: (() => void)[] = [];
  #isScheduled = false;

  /** Runs `work`, which should take a fraction of a millisecond, when it is its turn. Throws what it throws. */
  async run<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#queue.push(() => {
        try {
          resolve(work());
        } catch (error) {
          reject(error);
        }
      });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isScheduled || this.#queue.length === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#work();
      this.#schedule();
    });
  }

  #work(): void {
    const startMs = performance.now();
    let done = 0;
    for (const work of this.#queue) {
      work();
      done += 1;
      if (performance.now() - startMs >= maxMs) break;
    }
    this.#queue = this.#queue.slice(done);
  }
}
