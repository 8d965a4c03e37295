import type { Logger } from 'pino';
import type { Client } from '../../ipc/contract.js';
import type { Child, host, SpawnRequest } from '../../ipc/services/host.js';
import { isHamletError } from '../../lib/errors.js';
import { healthyResetMs } from '../../supervision/backoff.js';
import type { State } from '../../supervision/state.js';
import type { Component } from './component.js';

/**
 * Has the main thread start again by itself, at its end, what the tree would start at once anyway: after a healthy spell
 * the first restart waits for nothing, and a component that needs no other and has no credentials needs no preparation.
 */
export class StandingStarts {
  readonly #host: Client<typeof host>;
  readonly #log: Logger;
  readonly #held = new Map<string, AbortController>();

  constructor(client: Client<typeof host>, log: Logger) {
    this.#host = client;
    this.#log = log;
  }

  /** Holds a start for a component in this state, or no longer. `request` gives how it is started. */
  tend(component: Component, state: State, nowMs: number, request: () => SpawnRequest): void {
    const { name } = component;
    const held = this.#held.get(name);
    if (held !== undefined && state.kind !== 'healthy') {
      this.#held.delete(name);
      held.abort();
    } else if (held === undefined && isDue(component, state, nowMs)) {
      void this.#hold(request());
    }
  }

  close(): void {
    for (const held of this.#held.values()) held.abort();
    this.#held.clear();
  }

  async #hold(request: SpawnRequest): Promise<void> {
    const { name } = request;
    const abort = new AbortController();
    this.#held.set(name, abort);
    try {
      for await (const _ of this.#host.standingStart(request, { signal: abort.signal }));
    } catch (error) {
      // Without it the next start takes a little longer. One that has just ended is about to be told.
      if (abort.signal.aborted || isHamletError(error, 'NOT_FOUND')) return;
      this.#log.warn({ err: error }, `no start of ${name} could be asked for in advance`);
    } finally {
      if (this.#held.get(name) === abort) this.#held.delete(name);
    }
  }
}

/** Whether the main thread has started it again: then a change of the table tells of its end and of its start. */
export function isRestarted({ name, exit }: Child, change: readonly Child[]): boolean {
  return exit !== null && change.some((other) => other.name === name && other.exit === null);
}

function isDue({ needs, credentials }: Component, state: State, nowMs: number): boolean {
  if (needs.length > 0 || credentials !== 'none' || state.kind !== 'healthy') return false;
  return state.failing === null && nowMs - state.sinceMs >= healthyResetMs;
}
