import type { BootStep, BootWait } from '../ipc/services/boot.js';
import type { Condition } from '../ipc/services/host.js';
import { allConditionNames, componentNames, groupNames, workerNames } from '../lib/names.js';
import type { ConditionBoard } from './conditions.js';

/** What the start is for. Other steps may end after it. */
const lastStep = 'NodeReady';

/** The API server serves the node before it says that it is ready; the reconciler is the first to notice. */
const answers = 'APIServerAnswers';
/** Its port is open before that; the kubelet waits for it. */
const listens = 'APIServerListens';
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
  // With kept credentials the API server does not wait for the PKI.
  [answers]: ['etcd', 'PKIReady'],
  [listens]: ['etcd', 'PKIReady'],
  ImagesImported: ['containerd'],
  NodeReady: ['hamlet.reconciler', answers, 'kube.kubelet'],
};

/** Conditions that the start does not pass through. */
const noSteps: ReadonlySet<string> = new Set([
  ...['CertificatesValid', 'DataAvailable', 'RemoteDebugReady'],
  ...groupNames,
]);

type Wait = { -readonly [Key in keyof BootWait]: BootWait[Key] };
type Step = { -readonly [Key in keyof BootStep]: BootStep[Key] } & { waits: Wait[] };

const components: ReadonlySet<string> = new Set(componentNames);
const threads: ReadonlySet<string> = new Set(workerNames.map((name) => `hamlet.${name}`));
const onBoard: ReadonlySet<string> = new Set(allConditionNames);

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
    return [...this.#steps.values()]
      .sort((a, b) => end(a) - end(b))
      .map((step) => ({ ...step, waits: [...step.waits, ...this.#unreported(step)] }));
  }

  /** Nobody says when these waits are over: each is when what is waited for is done, or the step has been begun. */
  #unreported(step: Step): BootWait[] {
    const reported = new Set(step.waits.map(({ name }) => name));
    const names = (knownWaits[step.name] ?? []).filter((name) => !reported.has(name));
    return names.map((name) => {
      const ends = [this.#steps.get(name)?.doneMs, heldUntilMs(step)].filter((ms) => ms != null);
      const untilMs = ends.length === 0 ? null : Math.max(step.seenMs, Math.min(...ends));
      return { name, sinceMs: step.seenMs, untilMs };
    });
  }

  async #follow(board: ConditionBoard, signal: AbortSignal): Promise<void> {
    for await (const { conditions } of board.watch(signal)) {
      for (const condition of conditions) this.#take(condition, this.nowMs);
    }
  }

  #take({ name, status, reason, waitsFor = [] }: Condition, nowMs: number): void {
    if (noSteps.has(name) || reason === 'NotReported') return;
    if (learntFromIt.includes(name) && status !== 'unknown') this.#step(answers).doneMs ??= nowMs;
    const step = this.#step(name, nowMs);
    if (step.doneMs !== null) return;
    this.#takeWaits(step, waitsFor, nowMs);
    if (status === 'true') {
      step.doneMs = nowMs;
      const isOver =
        this.#steps.has(lastStep) && [...this.#steps.values()].every((one) => one.doneMs !== null);
      if (isOver) this.#over.abort();
      return;
    }
    if (reason === 'Waiting') return;
    step.beganMs ??= nowMs;
    if (reason !== 'Starting' || !components.has(name)) return;
    step.executedMs ??= nowMs;
    if (name !== 'kube.apiserver') return;
    this.#step(answers).beganMs ??= step.executedMs;
    this.#tellWhenPortBegan();
  }

  /** It is the API server's start that opens the port; the step is there only when somebody waits for it. */
  #tellWhenPortBegan(): void {
    const port = this.#steps.get(listens);
    const executedMs = this.#steps.get('kube.apiserver')?.executedMs ?? null;
    if (port === undefined || executedMs === null) return;
    port.beganMs ??= executedMs;
    port.seenMs = Math.min(port.seenMs, executedMs);
  }

  /** What is not on the board is a step of its own, which is done when it is waited for no more. */
  #takeWaits(step: Step, waitsFor: readonly string[], nowMs: number): void {
    for (const wait of step.waits) {
      if (wait.untilMs !== null || waitsFor.includes(wait.name)) continue;
      wait.untilMs = nowMs;
      if (!onBoard.has(wait.name)) this.#step(wait.name).doneMs = nowMs;
    }
    for (const name of waitsFor) {
      const known = step.waits.find((wait) => wait.name === name);
      if (known === undefined) step.waits.push({ name, sinceMs: nowMs, untilMs: null });
      else known.untilMs = null;
      if (!onBoard.has(name)) this.#step(name, nowMs).doneMs = null;
    }
    this.#tellWhenPortBegan();
  }

  #step(name: string, nowMs = this.nowMs): Step {
    let step = this.#steps.get(name);
    if (step === undefined) {
      const beganMs = threads.has(name) ? nowMs : null;
      step = { name, waits: [], seenMs: nowMs, beganMs, executedMs: null, doneMs: null };
      if (name === 'hamlet') step.seenMs = 0;
      this.#steps.set(name, step);
    }
    return step;
  }
}

/**
 * Until when something can have held a step up: a component until its execution, and so what only its own start takes
 * after that; a thread until it was started.
 */
function heldUntilMs({ name, beganMs, executedMs, doneMs }: BootStep): number | null {
  const isHeldBefore = threads.has(name) || name === answers || name === listens;
  return executedMs ?? (isHeldBefore ? beganMs : null) ?? doneMs;
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
    const heldMs = heldUntilMs(current) ?? Infinity;
    const isOpen = heldMs === Infinity;
    // What was done after the step was begun cannot have held it up, nor can what it waits for no more.
    const before = current.waits.flatMap(({ name, untilMs }) => {
      const step = byName.get(name);
      if (step === undefined) return [];
      return (step.doneMs === null ? isOpen && untilMs === null : step.doneMs <= heldMs) ? [step] : [];
    });
    const open = before.find(({ doneMs }) => doneMs === null);
    current = open ?? before.sort((a, b) => (b.doneMs ?? 0) - (a.doneMs ?? 0))[0];
  }
  return path;
}
