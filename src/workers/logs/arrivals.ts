/** Followers that wait for lines. One that waits for a quiet log is not woken by a loud one. */
export class Arrivals {
  readonly #waiting = new Map<string, Set<() => void>>();

  /** Wakes whoever waits for this log. */
  notify(name: string): void {
    const waiting = this.#waiting.get(name);
    if (waiting === undefined) return;
    for (const wake of [...waiting]) wake();
  }

  /** Resolves when one of these logs has new lines, when the time is over, or when the signal is aborted. */
  async wait(names: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    let timer: NodeJS.Timeout | undefined;
    let wake = (): void => {};
    await new Promise<void>((resolve) => {
      wake = resolve;
      for (const name of names) this.#of(name).add(wake);
      if (timeoutMs < Infinity) timer = setTimeout(wake, Math.min(timeoutMs, 2 ** 31 - 1));
      signal.addEventListener('abort', wake, { once: true });
    });
    clearTimeout(timer);
    signal.removeEventListener('abort', wake);
    for (const name of names) this.#of(name).delete(wake);
  }

  #of(name: string): Set<() => void> {
    let waiting = this.#waiting.get(name);
    if (waiting === undefined) this.#waiting.set(name, (waiting = new Set()));
    return waiting;
  }
}
