import type { Cause, Spec, State, TreeEvent } from '../../../src/supervision/state.js';
import { Tree } from '../../../src/supervision/tree.js';

export const startTimeoutMs = 10_000;
export const stopPatienceMs = 5_000;
export const failureThreshold = 3;

/** A spec with the limits above. */
export function spec(name: string, needs: readonly string[] = [], overrides: Partial<Spec> = {}): Spec {
  return { name, needs, startTimeoutMs, stopPatienceMs, failureThreshold, ...overrides };
}

/** Three levels, as on a node. */
export const threeLevels = [spec('etcd'), spec('apiserver', ['etcd']), spec('kubelet', ['apiserver'])];

export const crashed: Cause = { kind: 'exited', code: 1 };

/** A tree, a clock that only the test moves, and short words for what happens. Actions come out as "start etcd". */
export class Harness {
  readonly tree: Tree;
  nowMs = 5_000;

  /** `random` is 0 unless given: waits are as long as they can be. */
  constructor(specs: readonly Spec[], random: () => number = () => 0) {
    this.tree = new Tree(specs, random);
  }

  handle(event: TreeEvent): string[] {
    return this.tree.handle(event, this.nowMs).map(({ kind, name }) => `${kind} ${name}`);
  }

  tick(): string[] {
    return this.handle({ kind: 'tick' });
  }

  /** Moves the clock and ticks, as an owner does that wakes up just then. */
  after(ms: number): string[] {
    this.nowMs += ms;
    return this.tick();
  }

  executed(name: string): string[] {
    return this.handle({ kind: 'executed', name });
  }

  answers(name: string): string[] {
    return this.handle({ kind: 'probe', name, ok: true, message: '' });
  }

  fails(name: string, message = 'no answer'): string[] {
    return this.handle({ kind: 'probe', name, ok: false, message });
  }

  ends(name: string, cause: Cause = crashed): string[] {
    return this.handle({ kind: 'ended', name, cause });
  }

  stop(): string[] {
    return this.handle({ kind: 'stop' });
  }

  state(name: string): State {
    return this.tree.state(name);
  }

  kinds(): Record<string, State['kind']> {
    return Object.fromEntries(this.tree.names.map((name) => [name, this.state(name).kind]));
  }

  /** Brings the named ones up, each after what it needs. */
  bringUp(...names: readonly string[]): void {
    this.tick();
    for (const name of names) {
      this.executed(name);
      this.answers(name);
    }
  }

  /** How long the named one, which has just failed, waits for its next try. */
  backoffMs(name: string): number {
    const state = this.state(name);
    if (state.kind !== 'backoff') throw new Error(`${name} is ${state.kind}`);
    return state.untilMs - this.nowMs;
  }
}
