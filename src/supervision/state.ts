/** How something that ran came to its end. The kinds are told apart because each wants another remedy. */
export type Cause =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'killed'; readonly signal: string }
  | { readonly kind: 'out-of-memory' }
  | { readonly kind: 'exec-failed'; readonly message: string }
  | { readonly kind: 'probe-failed'; readonly message: string }
  | { readonly kind: 'start-timeout'; readonly message: string }
  | { readonly kind: 'error'; readonly message: string };

/** What a node of the tree is doing. */
export type State =
  | { readonly kind: 'waiting'; readonly for: readonly string[] }
  | { readonly kind: 'starting'; readonly sinceMs: number; readonly lastProbe: string }
  | { readonly kind: 'healthy'; readonly sinceMs: number; readonly failedProbes: number }
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
  /** How long it may take from its start to its first good probe. */
  readonly startTimeoutMs: number;
  /** How long it may take to stop after SIGTERM. */
  readonly stopPatienceMs: number;
  /** How many probes in a row have to fail before a healthy node counts as hung. */
  readonly failureThreshold: number;
}

/** What the tree asks its owner to do. */
export type Action =
  | { readonly kind: 'start'; readonly name: string }
  | { readonly kind: 'terminate'; readonly name: string }
  | { readonly kind: 'kill'; readonly name: string };

/** What the tree's owner tells it. */
export type TreeEvent =
  | { readonly kind: 'probe'; readonly name: string; readonly ok: boolean; readonly message: string }
  | { readonly kind: 'ended'; readonly name: string; readonly cause: Cause }
  /** It runs already: found at the start of the owner, not started by it. */
  | { readonly kind: 'adopted'; readonly name: string }
  | { readonly kind: 'stop' }
  | { readonly kind: 'tick' };

/** "exited with code 1", "killed by SIGKILL": a cause for a person. */
export function describeCause(cause: Cause): string {
  switch (cause.kind) {
    case 'exited':
      return `exited with code ${cause.code}`;
    case 'killed':
      return `killed by ${cause.signal}`;
    case 'out-of-memory':
      return 'ran out of memory';
    case 'exec-failed':
      return `could not be started: ${cause.message}`;
    case 'probe-failed':
      return `stopped answering: ${cause.message}`;
    case 'start-timeout':
      return `did not become ready: ${cause.message}`;
    case 'error':
      return cause.message;
    default:
      return cause satisfies never;
  }
}

/** "waiting for etcd", "healthy", "backoff: exited with code 1; next try in 0.5 s": a state for a person. */
export function describeState(state: State, nowMs: number): string {
  switch (state.kind) {
    case 'waiting':
      return state.for.length > 0 ? `waits for ${state.for.join(', ')}` : 'waits for its turn';
    case 'starting':
      return state.lastProbe === '' ? 'starting' : `starting: ${state.lastProbe}`;
    case 'healthy':
      return state.failedProbes > 0 ? `healthy, but the last ${state.failedProbes} probes failed` : 'healthy';
    case 'stopping':
      return state.cause === null ? 'stopping' : `stopping: ${describeCause(state.cause)}`;
    case 'backoff': {
      const seconds = Math.max(0, (state.untilMs - nowMs) / 1_000).toFixed(1);
      return `${describeCause(state.cause)}; next try in ${seconds} s`;
    }
    case 'stopped':
      return 'stopped';
    default:
      return state satisfies never;
  }
}
