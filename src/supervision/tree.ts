import { HamletError } from '../lib/errors.js';
import { backoffMs, healthyResetMs } from './backoff.js';
import { checkNeeds, dependsOn } from './needs.js';
import { adoptionPatienceMs, stillStarting } from './patience.js';
import {
  isComingUp,
  isNew,
  isUp,
  isWell,
  type Action,
  type Cause,
  type Outdated,
  type Spec,
  type State,
  type TreeEvent,
} from './state.js';

type Healthy = Extract<State, { kind: 'healthy' }>;
type Probe = Extract<TreeEvent, { kind: 'probe' }>;
type Stopping = Extract<State, { kind: 'stopping' }>;
type Kill = Extract<Action, { kind: 'kill' }>;

/** What the machine lacks may be there any moment, and to look costs little: it is done every four seconds at least. */
const maxShortageFailures = 5;

interface Node {
  readonly spec: Spec;
  state: State;
  /** Failures since the last healthy spell; the first one after it counts as none. */
  failures: number;
  /** How long it had run when it was adopted: if its first probe succeeds, it counts as healthy for so long. */
  creditMs: number;
}

/**
 * A supervision tree as a value: events and the time go in, actions come out, nothing else happens. Whoever owns it
 * carries out the actions, reports what became of them, and calls again at `nextWakeMs`.
 */
export class Tree {
  readonly #nodes = new Map<string, Node>();
  readonly #random: () => number;
  #stopping = false;

  /**
   * `random` gives 0 up to 1. Throws FAILED_PRECONDITION when a need is not declared or needs form a circle,
   * ALREADY_EXISTS when a name is there twice.
   */
  constructor(specs: readonly Spec[], random: () => number) {
    checkNeeds(specs);
    this.#random = random;
    for (const spec of specs) this.#declare(spec);
  }

  /**
   * Adds a node that may need those that are there; it starts with the next event.
   * Throws as the constructor does, and then the tree is as it was.
   */
  add(spec: Spec): void {
    checkNeeds([...[...this.#nodes.values()].map((node) => node.spec), spec]);
    this.#declare(spec);
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
      case 'executed':
        this.#executed(this.#node(event.name), nowMs);
        return this.#advance(nowMs);
      case 'probe':
        return [...this.#probed(this.#node(event.name), event, nowMs), ...this.#advance(nowMs)];
      case 'ended':
        this.#ended(this.#node(event.name), event.cause, nowMs);
        return this.#advance(nowMs);
      case 'adopted':
        this.#adopted(this.#node(event.name), event.ageMs ?? 0, nowMs);
        return [];
      case 'gone':
        this.#gone(this.#node(event.name), event.cause);
        return [];
      case 'outdated':
        return this.#outdated(this.#node(event.name), event.what, nowMs);
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
          // In an ordered stop it goes when its turn has come, ready or not.
          return state.executedMs === null || this.#stopping ? [] : [state.executedMs + spec.startTimeoutMs];
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

  #declare(spec: Spec): void {
    this.#nodes.set(spec.name, {
      spec,
      state: { kind: 'waiting', for: spec.needs, cause: null },
      failures: 0,
      creditMs: 0,
    });
  }

  #node(name: string): Node {
    const node = this.#nodes.get(name);
    if (node === undefined) {
      throw new HamletError('NOT_FOUND', `nothing is called ${name}; there are ${this.names.join(', ')}`);
    }
    return node;
  }

  #executed(node: Node, nowMs: number): void {
    if (node.state.kind === 'starting') node.state = { ...node.state, executedMs: nowMs };
  }

  #adopted(node: Node, ageMs: number, nowMs: number): void {
    const { kind } = node.state;
    // Even when everything is being stopped: what runs has to be ended.
    if (kind !== 'waiting' && kind !== 'backoff' && kind !== 'stopped') return;
    // One that has had its time to start and does not answer hangs, and that is not waited for all over again.
    const spentMs = Math.min(ageMs, Math.max(0, node.spec.startTimeoutMs - adoptionPatienceMs));
    node.creditMs = ageMs;
    node.state = {
      kind: 'starting',
      cause: null,
      sinceMs: nowMs,
      executedMs: nowMs - spentMs,
      lastProbe: '',
    };
  }

  /** It starts like a new one, but does not wait for what is new to start first. */
  #gone(node: Node, cause: Cause): void {
    if (node.state.kind === 'waiting') node.state = { ...node.state, cause };
  }

  /** It is no failure, so nothing is counted: it goes, and comes back at once. */
  #outdated(node: Node, what: Outdated, nowMs: number): Action[] {
    const { spec, state } = node;
    if (this.#stopping || !isUp(state)) return [];
    const cause: Cause = { kind: 'outdated', what };
    node.state = { kind: 'stopping', killAtMs: nowMs + spec.stopPatienceMs, killed: false, cause };
    return [{ kind: 'terminate', name: spec.name }];
  }

  #probed(node: Node, probe: Probe, nowMs: number): Action[] {
    const { state } = node;
    switch (state.kind) {
      case 'starting':
        if (probe.ok) node.state = { kind: 'healthy', sinceMs: nowMs - node.creditMs, failing: null };
        else node.state = stillStarting(node.spec, state, probe, nowMs);
        return [];
      case 'healthy':
        if (!probe.ok) return this.#probeFailed(node, state, probe, nowMs);
        if (state.failing !== null) node.state = { ...state, failing: null };
        return [];
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

  #probeFailed(node: Node, state: Healthy, { message, counts = true }: Probe, nowMs: number): Action[] {
    const { spec } = node;
    const { sinceMs, probes } = state.failing ?? { sinceMs: nowMs, probes: 0 };
    // Without what it needs it may fail as it likes, and a restart would mend nothing.
    const isItsOwn = counts && spec.needs.every((need) => isWell(this.#node(need).state));
    const counted = isItsOwn ? probes + 1 : probes;
    node.state = { ...state, failing: { sinceMs, probes: counted, message } };
    if (counted < spec.failureThreshold || this.#stopping) return [];
    const action = this.#stop(node, { kind: 'probe-failed', message }, nowMs);
    return [spec.killedWhenHung === true ? kill(node, 'it hangs') : action];
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
    if (state.kind !== 'stopping') this.#countFailure(node, nowMs);
    if (cause.kind === 'shortage') node.failures = Math.min(node.failures, maxShortageFailures);
    const waitMs = backoffMs(node.failures, this.#random);
    node.state = { kind: 'backoff', untilMs: nowMs + waitMs, cause: reason };
  }

  /** Begins to end a node that has to go because of `cause`; it comes back through backoff. */
  #stop(node: Node, cause: Cause, nowMs: number): Action {
    this.#countFailure(node, nowMs);
    node.state = { kind: 'stopping', killAtMs: nowMs + node.spec.stopPatienceMs, killed: false, cause };
    return { kind: 'terminate', name: node.spec.name };
  }

  #countFailure(node: Node, nowMs: number): void {
    const { state } = node;
    // The time from its last good answer to the moment at which it was given up is no time spent healthy.
    const healthyMs = state.kind === 'healthy' ? (state.failing?.sinceMs ?? nowMs) - state.sinceMs : 0;
    node.failures = healthyMs >= healthyResetMs ? 0 : node.failures + 1;
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
        const missing = this.#missing(node);
        if (missing.length > 0) {
          const same = state.kind === 'waiting' && state.for.join() === missing.join();
          if (!same) node.state = { kind: 'waiting', for: missing, cause: state.cause };
          return undefined;
        }
        const { cause } = state;
        node.creditMs = 0;
        node.state = { kind: 'starting', cause, sinceMs: nowMs, executedMs: null, lastProbe: '' };
        return { kind: 'start', name: spec.name };
      }
      case 'starting':
        if (state.executedMs === null || nowMs < state.executedMs + spec.startTimeoutMs) return undefined;
        return this.#stop(node, { kind: 'start-timeout', message: state.lastProbe }, nowMs);
      case 'stopping':
        return this.#killWhenDue(node, state, nowMs);
      case 'healthy':
      case 'stopped':
        return undefined;
      default:
        return state satisfies never;
    }
  }

  /** What has to be there before a node may be started, and is not. */
  #missing({ spec: { needs, follows = [], yieldsTo = [] }, state }: Node): string[] {
    return [
      ...needs.filter((need) => this.#node(need).state.kind !== 'healthy'),
      ...follows.filter((other) => !isUp(this.#node(other).state)),
      ...(isNew(state) ? yieldsTo.filter((other) => isComingUp(this.#node(other).state)) : []),
    ];
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
          (other) => dependsOn(other.spec, spec.name) && other.state.kind !== 'stopped',
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

  #killWhenDue(node: Node, state: Stopping, nowMs: number): Action | undefined {
    return state.killed || nowMs < state.killAtMs ? undefined : kill(node, 'it would not stop');
  }
}

/** Kills a node that is being stopped. */
function kill(node: Node, why: Kill['why']): Kill {
  if (node.state.kind === 'stopping') node.state = { ...node.state, killed: true };
  return { kind: 'kill', name: node.spec.name, why };
}
