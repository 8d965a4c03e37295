import type { Condition } from '../../ipc/services/host.js';

interface Waiter {
  readonly name: string;
  readonly wanted: (condition: Pick<Condition, 'status' | 'reason'>) => boolean;
  readonly resolve: () => void;
}

/** The board of conditions as this worker sees it: for waiting on what others report. */
export class BoardView {
  readonly #conditions = new Map<string, Condition>();
  readonly #waiters = new Set<Waiter>();

  /** Takes in the stream of conditions until it ends, and throws what it throws. */
  async follow(board: AsyncIterable<{ readonly conditions: readonly Condition[] }>): Promise<void> {
    for await (const { conditions } of board) for (const condition of conditions) this.#take(condition);
  }

  #take(condition: Condition): void {
    this.#conditions.set(condition.name, condition);
    for (const waiter of this.#waiters) {
      if (waiter.name === condition.name && waiter.wanted(condition)) waiter.resolve();
    }
  }

  /** Waits until a condition is true. Throws the signal's reason when it is aborted first. */
  async untilTrue(name: string, signal: AbortSignal): Promise<void> {
    await this.until(name, ({ status }) => status === 'true', signal);
  }

  /** Waits until a condition is as it is wanted. Throws the signal's reason when it is aborted first. */
  async until(name: string, wanted: Waiter['wanted'], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (wanted(this.#conditions.get(name) ?? { status: 'unknown', reason: '' })) return;
    let waiter: Waiter | undefined;
    let onAbort = (): void => undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        onAbort = () => reject(signal.reason);
        signal.addEventListener('abort', onAbort, { once: true });
        waiter = { name, wanted, resolve };
        this.#waiters.add(waiter);
      });
    } finally {
      signal.removeEventListener('abort', onAbort);
      if (waiter !== undefined) this.#waiters.delete(waiter);
    }
  }
}
