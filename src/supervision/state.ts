/** What of a component's start is not what it should be by now. */
export type Outdated = 'settings' | 'credentials';

/**
 * Why a program could not be executed: each has another remedy. `shortage` is for want of descriptors, processes or memory,
 * and `exec-failed` whatever the others are not.
 */
export const execFailures = [
  'program-missing',
  'not-executable',
  'wrong-architecture',
  'shortage',
  'exec-failed',
] as const;
export type ExecFailure = (typeof execFailures)[number];

/** How something that ran came to its end. The kinds are told apart because each wants another remedy. */
export type Cause =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'killed'; readonly signal: string }
  | { readonly kind: 'out-of-memory' }
  | { readonly kind: ExecFailure; readonly message: string }
  | { readonly kind: 'probe-failed'; readonly message: string }
  | { readonly kind: 'start-timeout'; readonly message: string }
  /** It ended while nobody was there to be told how. */
  | { readonly kind: 'lost' }
  /** It runs with other arguments or configuration than it should by now. */
  | { readonly kind: 'outdated'; readonly what: Outdated }
  | { readonly kind: 'error'; readonly message: string };

/** Probes of something healthy that fail one after the other. */
export interface Failing {
  /** When the first of them failed: until then it did its work. */
  readonly sinceMs: number;
  /** How many count against it: those that failed while all that it needs was well. */
  readonly probes: number;
  readonly message: string;
}

/** What a node of the tree is doing. */
export type State =
  /** `cause` is how its last run ended, null before its first one. */
  | { readonly kind: 'waiting'; readonly for: readonly string[]; readonly cause: Cause | null }
  /** `executedMs` is null while its start is being prepared; `cause` is how its last run ended, null before its first. */
  | {
      readonly kind: 'starting';
      readonly cause: Cause | null;
      readonly sinceMs: number;
      readonly executedMs: number | null;
      readonly lastProbe: string;
    }
  | { readonly kind: 'healthy'; readonly sinceMs: number; readonly failing: Failing | null }
  | {
      readonly kind: 'stopping';
      readonly killAtMs: number;
      readonly killed: boolean;
      readonly cause: Cause | null;
    }
  | { readonly kind: 'backoff'; readonly untilMs: number; readonly cause: Cause }
  | { readonly kind: 'stopped' };

/** A node of the tree, as it is declared. */
export interface Spec {
  readonly name: string;
  /** What has to be healthy before this is started. A dependency that dies later takes nothing with it. */
  readonly needs: readonly string[];
  /** What has to have been started before this is, ready or not, and is stopped only after it. */
  readonly follows?: readonly string[];
  /** What gets the machine to itself while both come up for the first time: until it is healthy, or has failed once. */
  readonly yieldsTo?: readonly string[];
  /** How long it may take from its execution to its first good probe; what prepares the start has its own limits. */
  readonly startTimeoutMs: number;
  /** How long it may take to stop after SIGTERM. */
  readonly stopPatienceMs: number;
  /** How many probes in a row have to fail before a healthy node counts as hung. */
  readonly failureThreshold: number;
  /** Whether a hung one is killed at once, and not woken by being asked to stop; see its file for what it would do then. */
  readonly killedWhenHung?: boolean;
}

/** What the tree asks its owner to do. */
export type Action =
  | { readonly kind: 'start'; readonly name: string }
  | { readonly kind: 'terminate'; readonly name: string }
  | { readonly kind: 'kill'; readonly name: string; readonly why: 'it would not stop' | 'it hangs' };

/** What the tree's owner tells it. */
export type TreeEvent =
  /** A start that was asked for has been carried out: it runs. */
  | { readonly kind: 'executed'; readonly name: string }
  /** One that `counts` as false has failed for want of something that is not the probed one's to have. */
  | {
      readonly kind: 'probe';
      readonly name: string;
      readonly ok: boolean;
      readonly message: string;
      readonly counts?: boolean;
    }
  /** It runs no more, or could not be started. */
  | { readonly kind: 'ended'; readonly name: string; readonly cause: Cause }
  /**
   * It runs already: found at the start of the owner, not started by it, and executed `ageMs` ago (0 unless given).
   * What follows from it comes with the next event, so that all that runs can be named before anything is started
   * beside it.
   */
  | { readonly kind: 'adopted'; readonly name: string; readonly ageMs?: number }
  /** It ran before this tree did, and has ended; nobody has told of that yet. */
  | { readonly kind: 'gone'; readonly name: string; readonly cause: Cause }
  /** What runs is not what should run: it is to be ended and started anew. */
  | { readonly kind: 'outdated'; readonly name: string; readonly what: Outdated }
  | { readonly kind: 'stop' }
  | { readonly kind: 'tick' };

/** Whether it does its work: healthy, and answering its probes. */
export function isWell(state: State): boolean {
  return state.kind === 'healthy' && state.failing === null;
}

/** Whether it has never run. */
export function isNew(state: State): boolean {
  return state.kind === 'waiting' && state.cause === null;
}

/** Whether it is on its way up: it starts, or waits to be started for the first time. */
export function isComingUp(state: State): boolean {
  return isNew(state) || state.kind === 'starting';
}

/** Whether it runs and is not being ended. */
export function isUp({ kind }: State): boolean {
  return kind === 'starting' || kind === 'healthy';
}

/** "exited with code 1", "killed by SIGKILL": a cause for a person. */
export function describeCause(cause: Cause): string {
  switch (cause.kind) {
    case 'exited':
      return `exited with code ${cause.code}`;
    case 'killed':
      return `killed by ${cause.signal}`;
    case 'out-of-memory':
      return 'ran out of memory';
    case 'program-missing':
    case 'not-executable':
    case 'wrong-architecture':
    case 'shortage':
    case 'exec-failed':
      return `could not be started: ${cause.message}`;
    case 'probe-failed':
      return `stopped answering: ${cause.message}`;
    case 'start-timeout':
      return `did not become ready: ${cause.message}`;
    case 'lost':
      return 'ended, and how is not known: an earlier run of Hamlet had started it';
    case 'outdated':
      return `runs with other ${cause.what} than it should`;
    case 'error':
      return cause.message;
    default:
      return cause satisfies never;
  }
}

/** "waits for etcd", "healthy", "exited with code 1; next try in 0.5 s": a state for a person. */
export function describeState(state: State, nowMs: number): string {
  switch (state.kind) {
    case 'waiting': {
      const wait = state.for.length > 0 ? `waits for ${state.for.join(', ')}` : 'waits for its turn';
      return state.cause === null ? wait : `${describeCause(state.cause)}; ${wait}`;
    }
    case 'starting':
      if (state.executedMs === null) {
        const step = 'its start is being prepared';
        return state.cause === null ? step : `${describeCause(state.cause)}; ${step}`;
      }
      return state.lastProbe === '' ? 'starting' : `starting: ${state.lastProbe}`;
    case 'healthy':
      return state.failing === null ? 'healthy' : `healthy, but its probe fails: ${state.failing.message}`;
    case 'stopping': {
      const why = state.cause === null ? 'stopping' : `stopping: ${describeCause(state.cause)}`;
      return state.killed ? `${why}; killed, and not gone yet` : why;
    }
    case 'backoff': {
      const waitMs = state.untilMs - nowMs;
      const next = waitMs > 0 ? `next try in ${(waitMs / 1_000).toFixed(1)} s` : 'started again at once';
      return `${describeCause(state.cause)}; ${next}`;
    }
    case 'stopped':
      return 'stopped';
    default:
      return state satisfies never;
  }
}
