import { existsSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { replaceFile } from '../../src/lib/files.js';
import { poll } from '../../src/lib/time.js';
import { ordersVariable, type Order } from './thread-agent.js';

/** A thread looks ten times a second, once it is loaded. */
const obeyTimeoutMs = 10_000;

/**
 * Makes worker threads of Hamlet fail from inside (thread-agent.ts). Node's inspector can do that as well, but a thread
 * that ends while a session is attached to it now and then takes the whole process along, by a SIGSEGV without a word.
 */
export class Threads {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = path.join(folder, 'orders');
    mkdirSync(this.#folder);
  }

  /** What Hamlet has to be started with; it gives it on to its successor. */
  get env(): Readonly<Record<string, string>> {
    const agent = new URL('thread-agent.js', import.meta.url).href;
    return { NODE_OPTIONS: `--import=${agent}`, [ordersVariable]: this.#folder };
  }

  /** Has the thread of this name end; resolves when it knows. */
  async end(name: string, order: Order): Promise<void> {
    const file = path.join(this.#folder, name);
    replaceFile(file, JSON.stringify(order), 0o600);
    try {
      await poll(() => !existsSync(file) || undefined, {
        everyMs: 20,
        timeoutMs: obeyTimeoutMs,
        what: `an answer of the thread ${name}`,
      });
    } finally {
      rmSync(file, { force: true });
    }
  }
}
