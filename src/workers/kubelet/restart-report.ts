import type { Logger } from 'pino';
import type { Client } from '../../ipc/contract.js';
import type { Child, ExitStatus, host } from '../../ipc/services/host.js';
import type { logs } from '../../ipc/services/logs.js';
import type { Restart as RecordedRestart } from '../../ipc/services/restart.js';
import { messageOf } from '../../lib/errors.js';
import { RestartTracker, type OpenRestart } from '../../supervision/restarts.js';
import type { State } from '../../supervision/state.js';

/** How much of what a component wrote last goes into the history: lines, and bytes of each. */
const maxLines = 10;
const maxLineBytes = 400;

/** What needs something that came back so recently may have died of it, in milliseconds. */
const aftermathMs = 10_000;

export interface RestartReportOptions {
  readonly host: Pick<Client<typeof host>, 'putRestart'>;
  readonly logs: Pick<Client<typeof logs>, 'tail'>;
  /** What each component needs, by name. */
  readonly needs: ReadonlyMap<string, readonly string[]>;
  /** What an earlier one has begun to write down and not ended. */
  readonly open: readonly RecordedRestart[];
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** What is found out about a restart beside what the tree knows. */
interface Known {
  id: number | null;
  lastLines: string[];
  readonly cause: Pick<Known, 'id'> | undefined;
}

/** Writes the components' restarts into the node's history, step by step, and never holds a restart up. */
export class RestartReport {
  readonly #options: RestartReportOptions;
  readonly #tracker = new RestartTracker();
  readonly #known = new Map<OpenRestart, Known>();
  /** One after the other: the number that a restart gets has to be known before it is written again. */
  #last = Promise.resolve();

  constructor(options: RestartReportOptions) {
    this.#options = options;
    for (const { id, lastLines, ...restart } of options.open) {
      const cause = { id: restart.causeId };
      this.#known.set(this.#tracker.resume(restart), { id, lastLines: [...lastLines], cause });
    }
  }

  /**
   * Whether an earlier one has written down the end of a child that is found ended. What was being stopped then is on
   * record without how that went, which is known now.
   */
  knows(child: Child, exit: ExitStatus): boolean {
    const open = this.#tracker.latest(child.name);
    if (open === undefined) return false;
    if (open.restart.nextTryMs === null) this.ended(child, exit);
    // The last one may be of a start that failed, after the end of the run.
    return open.restart.run === child.run || open.restart.atMs >= exit.atMs;
  }

  /** A child has ended; the change of state follows. */
  ended({ name, run, pid }: Child, { code, signal }: ExitStatus): void {
    this.#tracker.ended(name, { run, pid, code, signal });
  }

  observe(name: string, old: State | undefined, state: State, nowMs: number): void {
    const open = this.#tracker.observe(name, old, state, nowMs, Date.now());
    if (open === undefined) return;
    if (!this.#known.has(open)) {
      this.#known.set(open, { id: null, lastLines: [], cause: this.#causeOf(name) });
    }
    this.#last = this.#last
      .then(() => this.#write(open))
      .catch((error: unknown) => {
        if (this.#options.signal.aborted) return;
        this.#options.log.warn(
          { err: error },
          `the restart of ${name} was not written down: ${messageOf(error)}`,
        );
      });
  }

  async #write(open: OpenRestart): Promise<void> {
    const { host, signal } = this.#options;
    const known = this.#known.get(open);
    if (known === undefined) return;
    const { restart } = open;
    if (known.lastLines.length === 0) known.lastLines = await this.#lastLines(open);
    const fields = {
      ...restart,
      waitedFor: [...restart.waitedFor],
      lastLines: known.lastLines,
      causeId: known.cause?.id ?? null,
    };
    known.id = (await host.putRestart({ id: known.id, restart: fields }, { signal })).id;
    // It is over: only the latest one of a component can still be what others died of.
    for (const other of this.#known.keys()) {
      if (other !== open && other.name === open.name) this.#known.delete(other);
    }
  }

  /** A restart of what this needs, by way of others or not, that is under way or only just over. */
  #causeOf(name: string): Known | undefined {
    const { needs } = this.#options;
    const nowMs = Date.now();
    for (const need of needs.get(name) ?? []) {
      const open = this.#tracker.latest(need);
      const { healthyMs = 0 } = open?.restart ?? {};
      if (open !== undefined && (healthyMs === null || nowMs - healthyMs < aftermathMs)) {
        return this.#known.get(open);
      }
      const behind = this.#causeOf(need);
      if (behind !== undefined) return behind;
    }
    return undefined;
  }

  /** What the ended run wrote last; nothing while the logs worker is away: its next lines come with the next step. */
  async #lastLines({ name, restart: { run } }: OpenRestart): Promise<string[]> {
    const lines: string[] = [];
    try {
      const { logs, signal } = this.#options;
      // Some more than are kept: the next run may have begun to write.
      for await (const batch of logs.tail({ component: name, lines: 10 * maxLines }, { signal })) {
        for (const line of batch.lines) {
          if (line.run !== run) continue;
          lines.push(Buffer.from(line.data.subarray(0, maxLineBytes)).toString('utf8'));
        }
      }
    } catch {
      return [];
    }
    return lines.slice(-maxLines);
  }
}
