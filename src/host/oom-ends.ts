import type { Child } from '../ipc/services/host.js';
import { oomKills, wasOomKilled } from '../platform/oom.js';

/** How long after such an end the log is asked about each other end too, in milliseconds: it may have been that one. */
const doubtMs = 10_000;

/** Tells which children the kernel has ended for want of memory. */
export class OomEnds {
  readonly #wasKilled: typeof wasOomKilled;
  readonly #kills: () => number | undefined;
  #counted: number | undefined;
  #countedAtMs = -Infinity;

  /** `wasKilled` asks the kernel's log and `kills` its counter; others are for tests. */
  constructor(wasKilled: typeof wasOomKilled = wasOomKilled, kills = oomKills) {
    this.#wasKilled = wasKilled;
    this.#kills = kills;
    this.#counted = kills();
  }

  /**
   * Asks about one that ended just now. The kernel's log is long: it is read only when the kernel has counted such an end
   * lately, or does not count.
   */
  isAmong(child: Child, code: number | null, signal: string | null): boolean {
    // Of one that is not this process's own nobody but the kernel's log can tell.
    const mayBe = signal === 'SIGKILL' || (signal === null && code === null);
    if (!mayBe) return false;
    const kills = this.#kills();
    if (kills !== this.#counted) this.#countedAtMs = performance.now();
    this.#counted = kills;
    if (kills !== undefined && performance.now() - this.#countedAtMs > doubtMs) return false;
    return this.wasAmong(child);
  }

  /** Asks about one that ended at an unknown time. */
  wasAmong({ pid, startTicks }: Child): boolean {
    return this.#wasKilled(pid, startTicks);
  }
}
