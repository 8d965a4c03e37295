import type { Condition, ConditionUpdate } from '../ipc/services/host.js';
import type { Log } from '../lib/log.js';
import { formatDuration } from '../lib/time.js';
import { healthyResetMs } from '../supervision/backoff.js';
import { Groups, type CrashLoop, type GroupState, type Member } from '../supervision/groups.js';
import type { ConditionBoard } from './conditions.js';
import type { History } from './history.js';

/** Changes of members come in bursts, above all at the start; whoever follows the board gets one for all of them. */
const settleMs = 100;

/** Reasons, of components and of threads, of what is on its way and has not failed. */
const underWay: ReadonlySet<string> = new Set(['waiting', 'preparing', 'starting', 'stopping']);

/** The group that has everything. */
const everything = 'node';

export interface GroupConditionsOptions {
  readonly board: ConditionBoard;
  readonly history: Pick<History, 'watch'>;
  /** The dotted names of all that this node runs. */
  readonly members: readonly string[];
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * Keeps the conditions of the groups of dotted names on the board, by those of their members and by the history's
 * failures, until the signal is aborted. It restarts nothing (docs/adr/a-death-takes-no-sibling-along.md).
 */
export class GroupConditions {
  readonly #options: GroupConditionsOptions;
  readonly #groups: Groups;
  #loops: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #dueMs = Infinity;

  constructor(options: GroupConditionsOptions) {
    this.#options = options;
    this.#groups = new Groups(options.members, everything, performance.now());
    options.signal.addEventListener('abort', () => clearTimeout(this.#timer), { once: true });
    void this.#followBoard();
    void this.#followHistory();
  }

  async #followBoard(): Promise<void> {
    const { board, members, signal } = this.#options;
    for await (const { conditions, snapshot } of board.watch(signal)) {
      const theirs = conditions.filter(({ name }) => members.includes(name));
      for (const condition of theirs) this.#groups.update(memberOf(condition), performance.now());
      if (theirs.length > 0 && !snapshot) this.#updateIn(settleMs);
    }
  }

  async #followHistory(): Promise<void> {
    const { history, signal } = this.#options;
    for await (const restart of history.watch(signal)) {
      // To get other settings is no failure, and what the machine lacks is none of its own.
      if (restart.kind === 'outdated' || restart.kind === 'shortage') continue;
      this.#groups.failed(restart, performance.now());
      this.#updateIn(settleMs);
    }
  }

  #updateIn(ms: number): void {
    const dueMs = performance.now() + ms;
    if (dueMs >= this.#dueMs || this.#options.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => this.#update(), ms);
    this.#timer.unref();
  }

  #update(): void {
    this.#dueMs = Infinity;
    const nowMs = performance.now();
    const wallMs = Date.now();
    for (const name of this.#groups.names) {
      const update = conditionOf(name, this.#groups.state(name, nowMs), wallMs);
      if (update !== undefined) this.#options.board.set(update, wallMs);
    }
    this.#tell(this.#groups.state(everything, nowMs), wallMs);
    const wakeMs = this.#groups.nextWakeMs();
    if (wakeMs !== undefined) this.#updateIn(Math.max(settleMs, wakeMs - nowMs));
  }

  /** The log has the beginning and the end of a crash loop. */
  #tell({ loops }: GroupState, wallMs: number): void {
    const { log } = this.#options;
    const now = new Set(loops.map(({ name }) => name));
    for (const loop of loops) {
      if (!this.#loops.has(loop.name)) log.error({ component: loop.name }, describeLoop(loop, wallMs));
    }
    for (const name of this.#loops) {
      if (!now.has(name)) log.info({ component: name }, `${name}: its crash loop is over`);
    }
    this.#loops = now;
  }
}

/** What the board is told of a group; nothing while nobody has spoken of any of its members. */
export function conditionOf(
  name: string,
  { loops, missing }: GroupState,
  wallMs: number,
): ConditionUpdate | undefined {
  if (loops.length === 0 && missing.length === 0) {
    return { name, status: 'true', reason: '', message: 'all that it has is up' };
  }
  if (loops.length === 0 && missing.every(({ kind }) => kind === 'unknown')) return undefined;
  const isFailed = missing.some(({ kind }) => kind === 'failed');
  const reason = loops.length > 0 ? 'CrashLoop' : isFailed ? 'MemberFailed' : 'MemberNotUp';
  const parts = [
    ...loops.map((loop) => describeLoop(loop, wallMs)),
    ...missing.map((member) => `${member.name}: ${firstLine(member.message)}`),
  ];
  return { name, status: 'false', reason, message: parts.join(' | ') };
}

function describeLoop({ name, failures, sinceMs, last, isUp }: CrashLoop, wallMs: number): string {
  const how = `${name} has failed ${failures} times since ${clock(sinceMs)}, last: ${firstLine(last.message)}`;
  if (isUp) return `${how}; it is up, and its crash loop over after ${formatDuration(healthyResetMs)}`;
  if (last.nextTryMs === null) return how;
  return last.nextTryMs > wallMs
    ? `${how}; next try at ${clock(last.nextTryMs)}`
    : `${how}; tried again since ${clock(last.nextTryMs)}`;
}

function memberOf({ name, status, reason, message }: Condition): Member {
  if (status === 'true') return { name, kind: 'up', message };
  if (status === 'unknown') return { name, kind: 'unknown', message };
  return { name, kind: underWay.has(reason.toLowerCase()) ? 'under-way' : 'failed', message };
}

/** A thread's failure has its stack with it. */
function firstLine(message: string): string {
  return message.split('\n', 1)[0] ?? '';
}

/** "12:03:04 UTC": a time in words does not go out of date. */
function clock(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(11, 19)} UTC`;
}
