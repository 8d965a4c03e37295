import type { Condition, ConditionUpdate } from '../ipc/services/host.js';
import { HamletError } from '../lib/errors.js';
import { Broadcast } from '../lib/broadcast.js';

export interface ConditionNews {
  readonly conditions: Condition[];
  readonly snapshot: boolean;
}

/**
 * The board of conditions. It lives in the main thread, so that what a worker said last can be read after that worker
 * is gone.
 */
export class ConditionBoard {
  readonly #conditions = new Map<string, Condition>();
  readonly #changes = new Broadcast<Condition>();

  /** Every name is there from the start: what nobody has spoken of yet is unknown, not missing. */
  constructor(names: readonly string[], nowMs: number) {
    for (const name of names) {
      this.#conditions.set(name, {
        name,
        status: 'unknown',
        reason: 'NotReported',
        message: 'nothing is known of it yet',
        sinceMs: nowMs,
      });
    }
  }

  get all(): readonly Condition[] {
    return [...this.#conditions.values()];
  }

  /** Throws NOT_FOUND, naming what exists. */
  get(name: string): Condition {
    const condition = this.#conditions.get(name);
    if (condition === undefined) {
      throw new HamletError('NOT_FOUND', `there is no condition ${name}; there are ${this.#names()}`);
    }
    return condition;
  }

  /** Throws NOT_FOUND for a name that the board does not have. */
  set(update: ConditionUpdate, nowMs: number): void {
    const old = this.get(update.name);
    if (old.status === update.status && old.reason === update.reason && old.message === update.message)
      return;
    const condition = { ...update, sinceMs: old.status === update.status ? old.sinceMs : nowMs };
    this.#conditions.set(update.name, condition);
    this.#changes.send(condition);
  }

  /** The board as it is, as one snapshot, then each change, until the signal is aborted. */
  async *watch(signal: AbortSignal): AsyncGenerator<ConditionNews, void, undefined> {
    using changes = this.#changes.subscribe(signal);
    yield { conditions: [...this.all], snapshot: true };
    for await (const condition of changes) yield { conditions: [condition], snapshot: false };
  }

  /** Resolves when a condition is true: with true, or with false when the signal was aborted before. */
  becomesTrue(name: string, signal: AbortSignal): Promise<boolean> {
    return this.when(name, ({ status }) => status === 'true', signal);
  }

  /** Resolves when a condition is as asked: with true, or with false when the signal was aborted before. */
  async when(name: string, holds: (condition: Condition) => boolean, signal: AbortSignal): Promise<boolean> {
    this.get(name);
    for await (const { conditions } of this.watch(signal)) {
      if (conditions.some((condition) => condition.name === name && holds(condition))) return true;
    }
    return false;
  }

  #names(): string {
    return [...this.#conditions.keys()].join(', ');
  }
}
