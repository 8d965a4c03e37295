import type { Child } from '../ipc/services/host.js';
import type { Log } from '../lib/log.js';
import type { wasOomKilled } from '../platform/oom.js';
import type { Output } from './launcher.js';
import type { Secrets } from './secrets.js';

/** Where the children's output goes (src/host/pipes.ts). */
export interface Outputs {
  openOutput(name: string, run: number): Output;
  /** The number of the component's latest run, as far as its output has come here; 0 before the first. */
  lastRun(name: string): number;
  /** Says that what comes from now on, or when `after` has resolved, belongs to this run. */
  adopt(name: string, run: number, after?: Promise<unknown>): void;
  /** Whether a process has the component's pipes as its stdout and stderr. */
  isOutputOf(name: string, pid: number): boolean;
  /** Resolves when all that the ended run wrote has been read. */
  endRun(name: string): Promise<boolean>;
  /** Where the components' stdout pipes are, by the components' names. */
  readonly stdouts: ReadonlyMap<string, string>;
}

export interface ChildrenOptions {
  /** The table's file; it tells the run after this one what may be left over. */
  readonly file: string;
  readonly secrets: Secrets;
  readonly outputs: Outputs;
  /** Told of what goes wrong where nobody waits for an answer. */
  readonly log?: Log;
  /** How long a component has run before its next start is prepared, in milliseconds; 10,000 unless given. */
  readonly standbyDelayMs?: number;
  /** How long what is ended may take to heed SIGTERM, by its name, in milliseconds; stop-patience.ts unless given. */
  readonly endPatienceMs?: (name: string) => number;
  /** Asks the kernel's log; for tests. */
  readonly wasOomKilled?: typeof wasOomKilled;
}

export interface ChildNews {
  readonly children: Child[];
  readonly snapshot: boolean;
}

/** What became of an earlier run's children. */
export interface Takeover {
  /** By name. */
  readonly adopted: readonly string[];
  readonly ended: readonly string[];
  /** Those that had ended by themselves. */
  readonly gone: readonly Child[];
}
