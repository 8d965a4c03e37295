import { HamletError } from '../lib/errors.js';
import { backoffMs, healthyResetMs } from './backoff.js';
import type { Action, Cause, Spec, State, TreeEvent } from './state.js';

interface Node {
  readonly spec: Spec;
  state: State;
  /** Failures since the last healthy spell. */
  failures: number;
}

/**
 * A supervision tree as a value: events and the time go in, actions come out, nothing else happens. Whoever owns it
 * carries out the actions, reports what became of them, and calls again at `nextWakeMs`.
 */
export class Tree {
  readonly #nodes: Map<string, Node>;
  readonly #random: () => number;
  #stopping = false;

  /** Throws FAILED_PRECONDITION when a need is not declared or needs form a circle. */
  constructor(specs: readonly Spec[], random: () => number) {
    this.#nodes = new Map(
      specs.map((spec) => [spec.name, { spec, state: { kind: 'waiting', for: spec.needs }, failures: 0 }]),
    );
    this.#random = random;
    for (const spec of specs) this.#checkNeeds(spec, []);
  }

  /** Adds a node that may need those that are there; it starts with the next event. Throws as the constructor does. */
  add(spec: Spec): void {
    if (this.#nodes.has(spec.name)) {
      throw new HamletError('ALREADY_EXISTS', `${spec.name} is in the tree already`);
    }
    this.#nodes.set(spec.name, { spec, state: { kind: 'waiting', for: spec.needs }, failures: 0 });
    this.#checkNeeds(spec, []);
  }

  get names(): readonly string[] {
    return [...this.#nodes.keys()];
  }

  /** Throws NOT_FOUND for a name that was not declared. */
  state(name: string): State {
    return this.#node(name).state;
  }

  /** Whether everything has come to rest after `stop`. */
  get stopped(): boolean {
    return [...this.#nodes.values()].every((node) => node.state.kind === 'stopped');
  }

  /** Takes an event in at the time `nowMs` (monotonic) and says what to do about it, in order. */
  handle(event: TreeEvent, nowMs: number): Action[] {
    switch (event.kind) {
      case 'probe':
        return [...this.#probed(this.#node(event.name), event, nowMs), ...this.#advance(nowMs)];
      case 'ended':
        this.#ended(this.#node(event.name), event.cause, nowMs);
        return this.#advance(nowMs);
      case 'adopted':
        this.#node(event.name).state = { kind: 'starting', sinceMs: nowMs, lastProbe: '' };
        return this.#advance(nowMs);
      case 'stop':
        this.#stopping = true;
        return this.#advance(nowMs);
      case 'tick':
        return this.#advance(nowMs);
      default:
        return event satisfies never;
    }
  }

  /** When the next thing is due that no event announces, or undefined when there is none. */
  nextWakeMs(): number | undefined {
    const times = [...this.#nodes.values()].flatMap(({ spec, state }) => {
      switch (state.kind) {
        case 'starting':
          return [state.sinceMs + spec.startTimeoutMs];
        case 'stopping':
          return state.killed ? [] : [state.killAtMs];
        case 'backoff':
          return [state.untilMs];
        case 'waiting':
        case 'healthy':
        case 'stopped':
          return [];
        default:
          return state satisfies never;
      }
    });
    return times.length === 0 ? undefined : Math.min(...times);
  }

  #node(name: string): Node {
    const node = this.#nodes.get(name);
    if (node === undefined) {
      throw new HamletError('NOT_FOUND', `nothing is called ${name}; there are ${this.names.join(', ')}`);
    }
    return node;
  }

  #checkNeeds(spec: Spec, path: readonly string[]): void {
    if (path.includes(spec.name)) {
      throw new HamletError(
        'FAILED_PRECONDITION',
        `needs form a circle: ${[...path, spec.name].join(' → ')}`,
      );
    }
    for (const need of spec.needs) {
      const node = this.#nodes.get(need);
      if (node === undefined) {
        throw new HamletError('FAILED_PRECONDITION', `${spec.name} needs ${need}, which is not declared`);
      }
      this.#checkNeeds(node.spec, [...path, spec.name]);
    }
  }

  #probed(node: Node, probe: { ok: boolean; message: string }, nowMs: number): Action[] {
    const { state, spec } = node;
    switch (state.kind) {
      case 'starting':
        node.state = probe.ok
          ? { kind: 'healthy', sinceMs: nowMs, failedProbes: 0 }
          : { ...state, lastProbe: probe.message };
        return [];
      case 'healthy': {
        const failedProbes = probe.ok ? 0 : state.failedProbes + 1;
        if (failedProbes < spec.failureThreshold) {
          node.state = { ...state, failedProbes };
          return [];
        }
        return [this.#stop(node, { kind: 'probe-failed', message: probe.message }, state.sinceMs, nowMs)];
      }
      // An answer that was under way when the state changed says nothing about the new one.
      case 'waiting':
      case 'stopping':
      case 'backoff':
      case 'stopped':
        return [];
      default:
        return state satisfies never;
    }
  }

  #ended(node: Node, cause: Cause, nowMs: number): void {
    const { state } = node;
    if (state.kind === 'stopped' || state.kind === 'waiting' || state.kind === 'backoff') return;
    if (this.#stopping) {
      node.state = { kind: 'stopped' };
      return;
    }
    // What was being ended for a reason of ours ended for that reason, whatever its last signal was.
    const reason = state.kind === 'stopping' && state.cause !== null ? state.cause : cause;
    const spell = state.kind === 'healthy' && nowMs - state.sinceMs >= healthyResetMs;
    if (state.kind !== 'stopping') node.failures = spell ? 1 : node.failures + 1;
    const waitMs = backoffMs(node.failures, spell, this.#random);
    node.state = { kind: 'backoff', untilMs: nowMs + waitMs, cause: reason };
  }

  /** Begins to end a node that has to go because of `cause`; it comes back through backoff. */
  #stop(node: Node, cause: Cause, healthySinceMs: number | undefined, nowMs: number): Action {
    const spell = healthySinceMs !== undefined && nowMs - healthySinceMs >= healthyResetMs;
    node.failures = spell ? 1 : node.failures + 1;
    node.state = { kind: 'stopping', killAtMs: nowMs + node.spec.stopPatienceMs, killed: false, cause };
    return { kind: 'terminate', name: node.spec.name };
  }

  /** Moves every node as far as it can go by itself. */
  #advance(nowMs: number): Action[] {
    const nodes = [...this.#nodes.values()];
    const step = (node: Node) => (this.#stopping ? this.#windDown(node, nowMs) : this.#bringUp(node, nowMs));
    const actions = nodes.flatMap((node) => step(node) ?? []);
    // What came to rest just now may have been the last to need something that was looked at before it.
    return this.#stopping ? [...actions, ...nodes.flatMap((node) => step(node) ?? [])] : actions;
  }

  #bringUp(node: Node, nowMs: number): Action | undefined {
    const { spec, state } = node;
    switch (state.kind) {
      case 'waiting':
      case 'backoff': {
        if (state.kind === 'backoff' && nowMs < state.untilMs) return undefined;
        const missing = spec.needs.filter((need) => this.#node(need).state.kind !== 'healthy');
        if (missing.length > 0) {
          node.state = { kind: 'waiting', for: missing };
          return undefined;
        }
        node.state = { kind: 'starting', sinceMs: nowMs, lastProbe: '' };
        return { kind: 'start', name: spec.name };
      }
      case 'starting':
        if (nowMs < state.sinceMs + spec.startTimeoutMs) return undefined;
        return this.#stop(node, { kind: 'start-timeout', message: state.lastProbe }, undefined, nowMs);
      case 'stopping':
        return this.#killWhenDue(node, state, nowMs);
      case 'healthy':
      case 'stopped':
        return undefined;
      default:
        return state satisfies never;
    }
  }

  /** Reverse order: a node goes only when everything that needs it is gone. */
  #windDown(node: Node, nowMs: number): Action | undefined {
    const { spec, state } = node;
    switch (state.kind) {
      case 'waiting':
      case 'backoff':
        node.state = { kind: 'stopped' };
        return undefined;
      case 'starting':
      case 'healthy': {
        const needed = [...this.#nodes.values()].some(
          (other) => other.spec.needs.includes(spec.name) && other.state.kind !== 'stopped',
        );
        if (needed) return undefined;
        node.state = { kind: 'stopping', killAtMs: nowMs + spec.stopPatienceMs, killed: false, cause: null };
        return { kind: 'terminate', name: spec.name };
      }
      case 'stopping':
        return this.#killWhenDue(node, state, nowMs);
      case 'stopped':
        return undefined;
      default:
        return state satisfies never;
    }
  }

  #killWhenDue(node: Node, state: Extract<State, { kind: 'stopping' }>, nowMs: number): Action | undefined {
    if (state.killed || nowMs < state.killAtMs) return undefined;
    node.state = { ...state, killed: true };
    return { kind: 'kill', name: node.spec.name };
  }
}
