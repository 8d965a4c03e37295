import type { Logger } from 'pino';
import type { Client } from '../../ipc/contract.js';
import type { ConditionUpdate, host } from '../../ipc/services/host.js';
import { endBetween } from '../../supervision/restarts.js';
import { describeCause, describeState, type State } from '../../supervision/state.js';
import type { Component } from './component.js';
import { conditionOf } from './reporting.js';
import type { RestartReport } from './restart-report.js';
import type { Waits } from './waits.js';

export interface StateReportOptions {
  readonly host: Client<typeof host>;
  readonly log: Logger;
  readonly restarts: RestartReport;
  /** Called with each change of a component's state. */
  readonly onState: (name: string, state: State) => void;
}

/** Tells of the components' states: to the log, the history, the board of conditions, and whoever follows them. */
export class StateReport {
  readonly #options: StateReportOptions;
  readonly #waits: Waits;
  readonly #over: AbortSignal;
  readonly #reported = new Map<string, State>();

  /** Nothing is told any more once `over` is aborted. */
  constructor(options: StateReportOptions, waits: Waits, over: AbortSignal) {
    this.#options = options;
    this.#waits = waits;
    this.#over = over;
  }

  /** Tells of the states that are others than the last time. */
  changed(components: Iterable<Component>, stateOf: (name: string) => State, nowMs: number): void {
    const conditions: ConditionUpdate[] = [];
    for (const { name } of components) {
      const state = stateOf(name);
      const old = this.#reported.get(name);
      if (old === state) continue;
      this.#reported.set(name, state);
      this.#options.restarts.observe(name, old, state, nowMs);
      if (old?.kind !== state.kind || endBetween(old, state) !== null) this.#tell(name, old, state, nowMs);
      conditions.push(conditionOf(name, state, this.#waits.of(name), nowMs));
    }
    this.#send(conditions);
  }

  /** Tells what one waits for by now. */
  waits({ name }: Component, state: State, nowMs: number): void {
    this.#send([conditionOf(name, state, this.#waits.of(name), nowMs)]);
  }

  #send(conditions: ConditionUpdate[]): void {
    if (conditions.length === 0 || this.#over.aborted) return;
    this.#options.host.setConditions({ conditions }, { signal: this.#over }).catch((error: unknown) => {
      if (this.#over.aborted) return;
      this.#options.log.error({ err: error }, 'the conditions of the components could not be reported');
    });
  }

  #tell(name: string, old: State | undefined, state: State, nowMs: number): void {
    const { log } = this.#options;
    const message = `${name}: ${describeState(state, nowMs)}`;
    const cause = state.kind === 'backoff' ? state.cause : endBetween(old, state);
    if (cause !== null) log.warn({ component: name, cause: describeCause(cause) }, message);
    else log.info({ component: name, state: state.kind }, message);
    this.#options.onState(name, state);
  }
}
