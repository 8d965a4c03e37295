import type { Child } from '../ipc/services/host.js';
import { isAlive } from '../platform/process.js';

/** How often to look whether what is not this process's own child is still there, in milliseconds. */
const pollMs = 100;

/** Looks after the components that another run of Hamlet has started: the kernel tells nobody else of their end. */
export class AdoptedChildren {
  readonly #timers = new Set<NodeJS.Timeout>();

  /** Calls `onEnd` once when the process is gone. */
  watch({ pid, startTicks }: Child, onEnd: () => void): void {
    const timer = setInterval(() => {
      if (isAlive(pid, startTicks)) return;
      clearInterval(timer);
      this.#timers.delete(timer);
      onEnd();
    }, pollMs);
    this.#timers.add(timer);
  }

  /** Looks after none of them any more. */
  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers.clear();
  }
}
