import { deferred } from '../ipc/deferred.js';
import type { SpawnRequest } from '../ipc/services/host.js';

export interface Standing {
  readonly request: SpawnRequest;
  /** Tells who has asked for it that it holds no more. */
  readonly over: () => void;
}

/**
 * Starts that were asked for in advance: a component for which there is one is started again at the very moment at which
 * it ends, without a question to the thread that decides about restarts and its answer. Each holds for one end.
 */
export class StandingStarts {
  readonly #starts = new Map<string, Standing>();

  /** Holds a start until the component ends, cancel() or the signal, and resolves then. The last one of a name counts. */
  hold(request: SpawnRequest, signal: AbortSignal): Promise<void> {
    const { name } = request;
    this.cancel(name);
    const { promise, resolve } = deferred<undefined>();
    if (signal.aborted) return Promise.resolve();
    const standing: Standing = {
      request,
      over: () => {
        signal.removeEventListener('abort', standing.over);
        if (this.#starts.get(name) === standing) this.#starts.delete(name);
        resolve(undefined);
      },
    };
    signal.addEventListener('abort', standing.over, { once: true });
    this.#starts.set(name, standing);
    return promise;
  }

  /** The start to be made now that the component has ended, if there is one; `over` is to be called when it is made. */
  take(name: string): Standing | undefined {
    const standing = this.#starts.get(name);
    this.#starts.delete(name);
    return standing;
  }

  /** What is told to end does not come back by itself. */
  cancel(name: string): void {
    this.#starts.get(name)?.over();
  }

  close(): void {
    for (const { over } of [...this.#starts.values()]) over();
  }
}
