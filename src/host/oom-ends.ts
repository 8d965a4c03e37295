import type { Child } from '../ipc/services/host.js';
import { oomKills, wasOomKilled } from '../platform/oom.js';

/** Tells which children the kernel has ended for want of memory. */
export class OomEnds {
  readonly #wasKilled: typeof wasOomKilled;
  #kills = oomKills();

  /** `wasKilled` asks the kernel's log; another one is for tests. */
  constructor(wasKilled: typeof wasOomKilled = wasOomKilled) {
    this.#wasKilled = wasKilled;
  }

  /** Asks about one that ended just now. The kernel's log is long: it is read only when the kernel counts another such end. */
  isAmong(child: Child, code: number | null, signal: string | null): boolean {
    // Of one that is not this process's own nobody but the kernel's log can tell.
    const mayBe = signal === 'SIGKILL' || (signal === null && code === null);
    if (!mayBe) return false;
    const kills = oomKills();
    if (kills !== undefined && kills === this.#kills) return false;
    this.#kills = kills;
    return this.wasAmong(child);
  }

  /** Asks about one that ended at an unknown time. */
  wasAmong({ pid, startTicks }: Child): boolean {
    return this.#wasKilled(pid, startTicks);
  }
}
