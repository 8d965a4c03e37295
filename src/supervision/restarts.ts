import { describeCause, isNew, type Cause, type State } from './state.js';

/** One end of something that is kept running, and how it came back: what the node's history is made of. */
export interface Restart {
  /** What ended, by its dotted name. */
  readonly name: string;
  /** The run that ended, from 1; 0 where runs are not counted or nothing was executed. */
  readonly run: number;
  readonly pid: number;
  /** When it ended or was given up, as all times here in milliseconds since the Unix epoch. */
  readonly atMs: number;
  /** Why, by the kinds of Cause. */
  readonly kind: Cause['kind'];
  /** How its process ended; neither for one that was not executed, and while it is still being ended. */
  readonly code: number | null;
  readonly signal: string | null;
  /** The cause in words. */
  readonly message: string;
  /** What it waited for before it was started again. */
  readonly waitedFor: readonly string[];
  /** When it is to be, or was to be, tried again; null while that is not known. */
  readonly nextTryMs: number | null;
  /** When it was executed again, and when it did its work again. */
  readonly executedMs: number | null;
  readonly healthyMs: number | null;
}

/** What is known of a process when it ends. */
export interface Ended {
  readonly run: number;
  readonly pid: number;
  readonly code: number | null;
  readonly signal: string | null;
}

/** A restart under way; a new one for each end. */
export interface OpenRestart {
  readonly name: string;
  restart: Restart;
}

const nothing: Ended = { run: 0, pid: 0, code: null, signal: null };

/**
 * How something ended that is on its way back already, by two states that follow each other; null when it did not. What
 * begins with a cause ended before anybody watched.
 */
export function endBetween(old: State | undefined, state: State): Cause | null {
  const isBack = state.kind === 'waiting' || state.kind === 'starting';
  const isEnd = old === undefined || isNew(old) || old.kind === 'healthy' || old.kind === 'stopping';
  return isBack && isEnd ? state.cause : null;
}

/** Watches states come and go, and says what to write down. Pure: the clocks are passed in. */
export class RestartTracker {
  readonly #open = new Map<string, OpenRestart>();
  readonly #ended = new Map<string, Ended>();

  /** Goes on with a restart that another one has begun to watch, and was not there to see the end of. */
  resume(restart: Restart): OpenRestart {
    const open = { name: restart.name, restart };
    this.#open.set(restart.name, open);
    return open;
  }

  /** The latest restart of something, whether it is over or not. */
  latest(name: string): OpenRestart | undefined {
    return this.#open.get(name);
  }

  /** A process has ended: to be told before the change of state that follows. */
  ended(name: string, ended: Ended): void {
    this.#ended.set(name, ended);
    const open = this.#open.get(name);
    // It was being ended; now it is known how that went.
    if (open?.restart.nextTryMs === null) open.restart = { ...open.restart, ...ended };
  }

  /** Takes a change of state in; gives the restart that has begun or moved on with it, if one has. */
  observe(
    name: string,
    old: State | undefined,
    state: State,
    nowMs: number,
    wallMs: number,
  ): OpenRestart | undefined {
    const begun = this.#beginAtOnce(name, old, state, wallMs);
    return this.#follow(name, old, state, nowMs, wallMs) ?? begun;
  }

  /** After a healthy spell there is no wait between an end and what comes next: both are one change of state. */
  #beginAtOnce(name: string, old: State | undefined, state: State, wallMs: number): OpenRestart | undefined {
    const cause = endBetween(old, state);
    if (cause === null) return undefined;
    return old?.kind === 'stopping'
      ? this.#update(name, { nextTryMs: wallMs })
      : this.#begin(name, cause, wallMs, wallMs);
  }

  #follow(
    name: string,
    old: State | undefined,
    state: State,
    nowMs: number,
    wallMs: number,
  ): OpenRestart | undefined {
    switch (state.kind) {
      case 'stopping':
        if (state.cause === null || old?.kind === 'stopping') return undefined;
        return this.#begin(name, state.cause, wallMs, null);
      case 'backoff': {
        const nextTryMs = Math.round(wallMs + Math.max(0, state.untilMs - nowMs));
        if (old?.kind === 'stopping') return this.#update(name, { nextTryMs });
        return this.#begin(name, state.cause, wallMs, nextTryMs);
      }
      case 'waiting': {
        const open = this.#open.get(name);
        if (open === undefined || state.cause === null) return undefined;
        const names = state.for.filter((other) => !open.restart.waitedFor.includes(other));
        if (names.length === 0) return undefined;
        return this.#update(name, { waitedFor: [...open.restart.waitedFor, ...names] });
      }
      case 'starting': {
        const isExecuted = state.executedMs !== null && (old?.kind !== 'starting' || old.executedMs === null);
        // What is found running was executed by whom this one goes on for.
        const isKnown = this.#open.get(name)?.restart.executedMs != null;
        return isExecuted && !isKnown ? this.#update(name, { executedMs: wallMs }) : undefined;
      }
      case 'healthy':
        return old?.kind === 'starting' ? this.#update(name, { healthyMs: wallMs }) : undefined;
      case 'stopped':
        return undefined;
      default:
        return state satisfies never;
    }
  }

  #begin(name: string, cause: Cause, wallMs: number, nextTryMs: number | null): OpenRestart {
    const restart: Restart = {
      name,
      ...(this.#ended.get(name) ?? nothing),
      atMs: wallMs,
      kind: cause.kind,
      message: describeCause(cause),
      waitedFor: [],
      nextTryMs,
      executedMs: null,
      healthyMs: null,
    };
    this.#ended.delete(name);
    const open = { name, restart };
    this.#open.set(name, open);
    return open;
  }

  #update(name: string, change: Partial<Restart>): OpenRestart | undefined {
    const open = this.#open.get(name);
    // A first start is no restart, and one that is over is not written again.
    if (open?.restart.healthyMs !== null) return undefined;
    open.restart = { ...open.restart, ...change };
    return open;
  }
}
