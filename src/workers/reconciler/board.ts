import type { Condition } from '../../ipc/services/host.js';

interface Waiter {
  readonly name: string;
  readonly wanted: (status: Condition['status']) => boolean;
  readonly resolve: () => void;
}

/** The board of conditions as this worker sees it: for waiting on what others report. */
export class BoardView {
  readonly #statuses = new Map<string, Condition['status']>();
  readonly #waiters = new Set<Waiter>();

  /** Takes in the stream of conditions until it ends, and throws what it throws. */
  async follow(board: AsyncIterable<{ readonly conditions: readonly Condition[] }>): Promise<void> {
    for await (const { conditions } of board) for (const condition of conditions) this.#take(condition);
  }

  #take({ name, status }: Condition): void {
    this.#statuses.set(name, status);
    for (const waiter of this.#waiters) {
      if (waiter.name === name && waiter.wanted(status)) waiter.resolve();
    }
  }

  /** Waits until a condition is true. Throws the signal's reason when it is aborted first. */
  async untilTrue(name: string, signal: AbortSignal): Promise<void> {
    await this.#until(name, (status) => status === 'true', signal);
  }

  /** Waits until a condition is anything but true. Throws the signal's reason when it is aborted first. */
  async untilNotTrue(name: string, signal: AbortSignal): Promise<void> {
    await this.#until(name, (status) => status !== 'true', signal);
  }

  async #until(name: string, wanted: Waiter['wanted'], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (wanted(this.#statuses.get(name) ?? 'unknown')) return;
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
