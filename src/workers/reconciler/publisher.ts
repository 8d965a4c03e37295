import type { Logger } from 'pino';
import type { Client } from '../../ipc/contract.js';
import type { ConditionUpdate, host } from '../../ipc/services/host.js';
import { messageOf } from '../../lib/errors.js';
import { sleep } from '../../lib/time.js';

/** How long to wait before the board is told again after it could not be; milliseconds. */
const retryMs = 500;

/** Tells the board of conditions what is the case now: the latest of each, one call at a time, none of them lost. */
export class ConditionPublisher {
  readonly #host: Pick<Client<typeof host>, 'setConditions'>;
  readonly #log: Logger;
  readonly #signal: AbortSignal;
  readonly #pending = new Map<string, ConditionUpdate>();
  #isBusy = false;

  constructor(board: Pick<Client<typeof host>, 'setConditions'>, log: Logger, signal: AbortSignal) {
    this.#host = board;
    this.#log = log;
    this.#signal = signal;
  }

  set(conditions: readonly ConditionUpdate[]): void {
    for (const condition of conditions) this.#pending.set(condition.name, condition);
    if (!this.#isBusy) void this.#publish();
  }

  async #publish(): Promise<void> {
    this.#isBusy = true;
    // Whatever else is said in this turn of the event loop goes with it.
    await Promise.resolve();
    while (this.#pending.size > 0 && !this.#signal.aborted) {
      const conditions = [...this.#pending.values()];
      this.#pending.clear();
      try {
        await this.#host.setConditions({ conditions }, { signal: this.#signal });
      } catch (error) {
        for (const old of conditions) if (!this.#pending.has(old.name)) this.#pending.set(old.name, old);
        await this.#wait(error);
      }
    }
    this.#isBusy = false;
  }

  async #wait(error: unknown): Promise<void> {
    if (this.#signal.aborted) return;
    this.#log.warn({ reason: messageOf(error), retryMs }, 'the conditions could not be set');
    await sleep(retryMs, this.#signal).catch(() => undefined);
  }
}
