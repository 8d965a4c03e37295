import type { BootStep } from '../ipc/services/boot.js';
import type { Condition } from '../ipc/services/host.js';
import { groupNames, workerNames } from '../lib/names.js';
import type { ConditionBoard } from './conditions.js';

/** What the start is for. Other steps may end after it. */
const lastStep = 'NodeReady';

/** The API server serves the node before it says that it is ready; the reconciler is the first to notice. */
const answers = 'APIServerAnswers';
const learntFromIt: readonly string[] = ['BuiltinsReady', 'NodeReady'];

/** What waits for what, where nobody says so: these steps wait inside of a worker. */
const knownWaits: Readonly<Record<string, readonly string[]>> = {
  'hamlet.logs': ['PKIReady'],
  'hamlet.debug': ['hamlet'],
  components: ['hamlet'],
  IPAssigned: ['hamlet'],
  'hamlet.certs': ['hamlet.kubelet'],
  'hamlet.kubelet': ['components', 'IPAssigned'],
  'hamlet.reconciler': ['PKIReady'],
  etcd: ['hamlet.kubelet'],
  containerd: ['hamlet.kubelet'],
  PKIReady: ['hamlet.certs', 'etcd'],
  APIServerReady: ['kube.apiserver'],
  BuiltinsReady: ['hamlet.reconciler', 'kube.apiserver'],
  [answers]: ['PKIReady'],
  NodeReady: ['hamlet.reconciler', answers, 'kube.kubelet'],
};

/** Conditions that the start does not pass through. */
const noSteps: ReadonlySet<string> = new Set(['CertificatesValid', 'DataAvailable', ...groupNames]);

type Step = { -readonly [Key in keyof BootStep]: BootStep[Key] };

/**
 * The steps of Hamlet's start with their times, in milliseconds since its exec, or since `originMs` of the same clock
 * in a process that has done something else before: when each began to wait, was begun,
 * executed and done, and what it waited for. It reads the board of conditions, until every step is done.
 */
export class BootTimeline {
  readonly #steps = new Map<string, Step>();
  readonly #over = new AbortController();
  readonly #originMs: number;

  constructor(board: ConditionBoard, signal: AbortSignal, originMs = 0) {
    this.#originMs = originMs;
    this.#step('hamlet').doneMs = this.nowMs;
    void this.#follow(board, AbortSignal.any([signal, this.#over.signal]));
  }

  get nowMs(): number {
    return performance.now() - this.#originMs;
  }

  /** For a step that has no condition: it is under way until what is given back is called. */
  begin(name: string): () => void {
    const step = this.#step(name);
    step.beganMs = this.nowMs;
    return () => (step.doneMs = this.nowMs);
  }

  /** All steps in the order of their ends; what is not done comes last. */
  get steps(): readonly BootStep[] {
    const end = ({ doneMs }: Step) => doneMs ?? Infinity;
    return [...this.#steps.values()].sort((a, b) => end(a) - end(b));
  }

  async #follow(board: ConditionBoard, signal: AbortSignal): Promise<void> {
    for await (const { conditions } of board.watch(signal)) {
      for (const condition of conditions) this.#take(condition, this.nowMs);
    }
  }

  #take({ name, status, reason, waitsFor = [] }: Condition, nowMs: number): void {
    if (noSteps.has(name) || reason === 'NotReported') return;
    if (learntFromIt.includes(name) && status !== 'unknown') this.#step(answers).doneMs ??= nowMs;
    const step = this.#step(name);
    if (step.doneMs !== null) return;
    step.waitsFor = [...new Set([...step.waitsFor, ...waitsFor])];
    if (status === 'true') {
      step.doneMs = nowMs;
      const isOver =
        this.#steps.has(lastStep) && [...this.#steps.values()].every((one) => one.doneMs !== null);
      if (isOver) this.#over.abort();
      return;
    }
    if (reason === 'Waiting') return;
    step.beganMs ??= nowMs;
    if (reason === 'Starting') step.executedMs ??= nowMs;
    if (name === 'kube.apiserver') this.#step(answers).beganMs ??= step.executedMs;
  }

  #step(name: string): Step {
    let step = this.#steps.get(name);
    if (step === undefined) {
      const waitsFor = knownWaits[name] ?? [];
      const isThread = workerNames.some((worker) => name === `hamlet.${worker}`);
      const beganMs = isThread ? this.nowMs : null;
      step = { name, waitsFor, seenMs: this.nowMs, beganMs, executedMs: null, doneMs: null };
      if (name === 'hamlet') step.seenMs = 0;
      this.#steps.set(name, step);
    }
    return step;
  }
}

/**
 * What the time of a start went into: back from the last step, or from the one that is under way, always to the one
 * of those that it waited for that was done last. The first one comes first.
 */
export function criticalPath(steps: readonly BootStep[]): readonly string[] {
  const byName = new Map(steps.map((step) => [step.name, step]));
  const path: string[] = [];
  let current = byName.get(lastStep) ?? steps.at(-1);
  while (current !== undefined && !path.includes(current.name)) {
    path.unshift(current.name);
    const endMs = current.doneMs ?? Infinity;
    // What was done after it cannot have held it up.
    const before = current.waitsFor
      .flatMap((name) => byName.get(name) ?? [])
      .filter(({ doneMs }) => (doneMs ?? Infinity) <= endMs);
    const open = before.find(({ doneMs }) => doneMs === null);
    current = open ?? before.sort((a, b) => (b.doneMs ?? 0) - (a.doneMs ?? 0))[0];
  }
  return path;
}
