import fc from 'fast-check';
import t from 'tap';
import type { Cause, Spec, State, TreeEvent } from '../../../src/supervision/state.js';
import { Harness, spec } from './harness.js';

/** What a test run does: an event for a node, whether it makes sense or not, or time that passes. */
type Step =
  | { readonly kind: 'executed' | 'answers' | 'gone' | 'outdated'; readonly node: number }
  | { readonly kind: 'fails'; readonly node: number; readonly counts: boolean }
  | { readonly kind: 'adopted'; readonly node: number; readonly ageMs: number }
  | { readonly kind: 'ends'; readonly node: number; readonly code: number }
  | { readonly kind: 'passes'; readonly ms: number }
  | { readonly kind: 'wakes' | 'stop' };

const nodes = fc.integer({ min: 1, max: 6 }).chain((count) =>
  fc.tuple(
    ...Array.from({ length: count }, (_, index) =>
      fc.record({
        // Only of earlier ones, so that there is no circle.
        needs: fc.subarray(Array.from({ length: index }, (_, need) => `n${need}`)),
        follows: fc.subarray(Array.from({ length: index }, (_, other) => `n${other}`)),
        yieldsTo: fc.subarray(Array.from({ length: index }, (_, other) => `n${other}`)),
        startTimeoutMs: fc.integer({ min: 1, max: 100_000 }),
        stopPatienceMs: fc.integer({ min: 1, max: 50_000 }),
        failureThreshold: fc.integer({ min: 1, max: 4 }),
      }),
    ),
  ),
);

const node = fc.nat({ max: 5 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('executed' as const), node }) },
  { weight: 24, arbitrary: fc.record({ kind: fc.constant('answers' as const), node }) },
  { weight: 18, arbitrary: fc.record({ kind: fc.constant('fails' as const), node, counts: fc.boolean() }) },
  {
    weight: 12,
    arbitrary: fc.record({ kind: fc.constant('ends' as const), node, code: fc.nat({ max: 2 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('adopted' as const), node, ageMs: fc.nat({ max: 200_000 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('gone' as const), node }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('outdated' as const), node }) },
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('passes' as const), ms: fc.nat({ max: 70_000 }) }) },
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('wakes' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('stop' as const) }) },
);

/** What the owner of a tree knows of one process. */
interface Process {
  terminatedAtMs: number | undefined;
  killed: boolean;
}

/** Plays the tree's owner, and checks everything that the tree asks of it. */
class World {
  readonly h: Harness;
  readonly processes = new Map<string, Process>();
  stopping = false;
  readonly #specs: ReadonlyMap<string, Spec>;
  /** What has been started or was found: it yields to nobody any more. */
  readonly #hasRun = new Set<string>();

  constructor(specs: readonly Spec[], random: () => number) {
    this.h = new Harness(specs, random);
    this.#specs = new Map(specs.map((one) => [one.name, one]));
    this.send({ kind: 'tick' });
  }

  send(event: TreeEvent): void {
    if (event.kind === 'ended') this.processes.delete(event.name);
    if (event.kind === 'adopted' || event.kind === 'gone') this.#hasRun.add(event.name);
    if (event.kind === 'stop') this.stopping = true;
    if (event.kind === 'adopted' && !this.processes.has(event.name)) {
      this.processes.set(event.name, { terminatedAtMs: undefined, killed: false });
    }
    const before = 'name' in event ? this.h.state(event.name) : undefined;
    for (const action of this.h.handle(event)) {
      const [kind = '', name = ''] = action.split(' ');
      if (kind === 'start') this.#checkStart(name);
      else this.#checkEnd(kind, name);
    }
    this.#checkStates();
    if (before !== undefined && 'name' in event) this.#checkEffect(event, before);
    const wakeMs = this.h.tree.nextWakeMs();
    // An event that only names what runs leaves the rest to the next one.
    if (
      event.kind !== 'adopted' &&
      event.kind !== 'gone' &&
      event.kind !== 'outdated' &&
      wakeMs !== undefined
    ) {
      check(wakeMs > this.h.nowMs, 'a wake-up lies ahead: nothing that is due is left undone');
    }
  }

  /** What an event does to the node that it is about, and to nobody else's counts. */
  #checkEffect(event: Extract<TreeEvent, { readonly name: string }>, before: State): void {
    const { name } = event;
    const after = this.h.state(name);
    if (event.kind === 'probe' && event.counts === false && before.kind === 'healthy') {
      check(after.kind === 'healthy', `${name} is not ended for a probe that does not count`);
    }
    if (event.kind === 'gone') {
      check(after.kind === before.kind, `${name} is as it was, but for the cause of its end`);
      check(after.kind !== 'waiting' || after.cause === event.cause, `${name} has a cause to be told`);
    }
    if (event.kind === 'outdated' && !this.stopping) {
      const wasUp = before.kind === 'starting' || before.kind === 'healthy';
      check(
        (after.kind === 'stopping') === (wasUp || before.kind === 'stopping'),
        `${name} goes if it is up`,
      );
    }
  }

  #checkStart(name: string): void {
    check(!this.stopping, `${name} is not started while everything stops`);
    check(!this.processes.has(name), `${name} is not started twice`);
    for (const need of this.#specs.get(name)?.needs ?? []) {
      check(this.h.state(need).kind === 'healthy', `${name} starts when ${need} is healthy`);
    }
    for (const other of this.#specs.get(name)?.yieldsTo ?? []) {
      const state = this.h.state(other);
      const isFirst = state.kind === 'waiting' && state.cause === null;
      const isComingUp = isFirst || state.kind === 'starting';
      check(!isComingUp || this.#hasRun.has(name), `${name} lets ${other} go first`);
    }
    this.#hasRun.add(name);
    for (const other of this.#specs.get(name)?.follows ?? []) {
      check(this.processes.has(other), `${name} starts after ${other}`);
    }
    this.processes.set(name, { terminatedAtMs: undefined, killed: false });
  }

  #checkEnd(kind: string, name: string): void {
    const process = this.processes.get(name);
    if (process === undefined) throw new Error(`${kind} for ${name}, which does not run`);
    if (kind === 'kill') {
      const patienceMs = this.#specs.get(name)?.stopPatienceMs ?? 0;
      check(process.terminatedAtMs !== undefined, `${name} is asked before it is killed`);
      check(this.h.nowMs - (process.terminatedAtMs ?? 0) >= patienceMs, `${name} has its patience`);
      check(!process.killed, `${name} is killed once`);
      process.killed = true;
      return;
    }
    check(process.terminatedAtMs === undefined, `${name} is asked once`);
    process.terminatedAtMs = this.h.nowMs;
    if (!this.stopping) return;
    for (const other of this.#specs.values()) {
      const isOver = this.h.state(other.name).kind === 'stopped';
      const before = [...other.needs, ...(other.follows ?? [])];
      check(isOver || !before.includes(name), `${other.name} is gone before ${name}`);
    }
  }

  #checkStates(): void {
    for (const name of this.#specs.keys()) {
      const { kind } = this.h.state(name);
      const runs = kind === 'starting' || kind === 'healthy' || kind === 'stopping';
      check(runs === this.processes.has(name), `${name} is ${kind}, and runs or not accordingly`);
      check(kind !== 'stopped' || this.stopping, `${name} is stopped only when everything stops`);
    }
  }
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`does not hold: ${what}`);
}

function play(world: World, step: Step): void {
  const { h } = world;
  switch (step.kind) {
    case 'passes':
      h.nowMs += step.ms;
      return world.send({ kind: 'tick' });
    case 'wakes':
      h.nowMs = Math.max(h.nowMs, h.tree.nextWakeMs() ?? 0);
      return world.send({ kind: 'tick' });
    case 'stop':
      return world.send({ kind: 'stop' });
    case 'executed':
    case 'answers':
    case 'fails':
    case 'ends':
    case 'gone':
    case 'outdated':
    case 'adopted': {
      const name = h.tree.names[step.node % h.tree.names.length] ?? '';
      const cause: Cause = { kind: 'exited', code: step.kind === 'ends' ? step.code : 0 };
      if (step.kind === 'ends') return world.send({ kind: 'ended', name, cause });
      if (step.kind === 'gone') return world.send({ kind: 'gone', name, cause });
      if (step.kind === 'adopted') return world.send({ kind: 'adopted', name, ageMs: step.ageMs });
      if (step.kind === 'outdated') return world.send({ kind: 'outdated', name, what: 'settings' });
      if (step.kind === 'executed') return world.send({ kind: 'executed', name });
      const ok = step.kind === 'answers';
      const counts = step.kind !== 'fails' || step.counts;
      return world.send({ kind: 'probe', name, ok, counts, message: 'no answer' });
    }
    default:
      return step satisfies never;
  }
}

const runs = { numRuns: 400 };
const story = fc.tuple(
  nodes,
  fc.array(step, { maxLength: 120 }),
  fc.double({ min: 0, max: 0.99, noNaN: true }),
);

function begin([shapes, steps, random]: [object[], Step[], number]): World {
  const specs = shapes.map((shape, index) => ({ ...spec(`n${index}`), ...shape }));
  const world = new World(specs, () => random);
  for (const one of steps) play(world, one);
  return world;
}

void t.test('whatever happens, the rules hold, and a stop ends with everything stopped', async () => {
  fc.assert(
    fc.property(story, (input) => {
      const world = begin(input);
      const { h } = world;
      world.send({ kind: 'stop' });
      // Each round ends at least one process; nothing comes back.
      for (let round = 0; world.processes.size > 0 && round <= h.tree.names.length; round++) {
        h.nowMs = Math.max(h.nowMs, h.tree.nextWakeMs() ?? 0);
        world.send({ kind: 'tick' });
        for (const [name, { terminatedAtMs }] of [...world.processes]) {
          if (terminatedAtMs === undefined) continue;
          world.send({ kind: 'ended', name, cause: { kind: 'killed', signal: 'SIGKILL' } });
        }
      }
      check(h.tree.stopped, `everything is stopped: ${JSON.stringify(h.kinds())}`);
      check(h.tree.nextWakeMs() === undefined, 'nothing is left to do');
    }),
    runs,
  );
});

void t.test('whatever has happened, all gets healthy again when nothing more goes wrong', async () => {
  fc.assert(
    fc.property(story, ([shapes, steps, random]) => {
      const world = begin([shapes, steps.filter(({ kind }) => kind !== 'stop'), random]);
      const { h } = world;
      const isHealthy = (name: string) => h.state(name).kind === 'healthy';
      for (let round = 0; !h.tree.names.every(isHealthy) && round < 10 * h.tree.names.length; round++) {
        for (const name of h.tree.names) {
          const { kind } = h.state(name);
          if (kind === 'stopping') world.send({ kind: 'ended', name, cause: { kind: 'exited', code: 0 } });
          else if (kind === 'starting') world.send({ kind: 'probe', name, ok: true, message: '' });
        }
        h.nowMs = Math.max(h.nowMs, h.tree.nextWakeMs() ?? 0);
        world.send({ kind: 'tick' });
      }
      check(h.tree.names.every(isHealthy), `all are healthy: ${JSON.stringify(h.kinds())}`);
    }),
    runs,
  );
});
