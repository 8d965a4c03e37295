import type { Transferable } from 'node:worker_threads';

/** What every contender echoes: 128 bytes or so in most encodings. */
export interface Message {
  readonly id: number;
  readonly component: string;
  readonly line: string;
}

/** What the caller of a contender can do. What is missing is not measured. */
export interface Caller {
  /** Sends a message and resolves with the same one. */
  readonly echo: (message: Message) => Promise<Message>;
  /** Resolves with an answer of so many bytes. */
  readonly blob?: (bytes: number) => Promise<Uint8Array>;
  /** Reads so many small items, and resolves with how many came. */
  readonly items?: (count: number) => Promise<number>;
  /** Sends requests to a destination that does not read, until the signal is aborted. */
  readonly floodStuck?: (signal: AbortSignal) => Promise<void>;
}

export type Role = 'server' | 'caller';

/** A running server or caller: a thread or a process. */
export interface Peer {
  readonly request: (job: Job) => Promise<Result>;
  /** Microseconds of processor time, if the peer is a process of its own. */
  readonly cpuUs?: () => Promise<number>;
  readonly stop: () => Promise<void>;
}

/** Starts a peer in a thread of its own, with `data` for its role. */
export type Spawn = (role: Role, data?: unknown, transfer?: readonly Transferable[]) => Promise<Peer>;

export interface Rig {
  readonly caller: Peer;
  readonly stop: () => Promise<void>;
  /** Microseconds of processor time of what is not a thread of the rig's process. */
  readonly extraCpuUs?: () => Promise<number>;
}

/** A way to call from one thread to another. One module each, loaded in all the threads that take part. */
export interface Contender {
  /** Runs in the rig's main thread, which is the broker where there is one. */
  readonly host: (spawn: Spawn) => Promise<Rig>;
  readonly serve?: (data: unknown) => Promise<void>;
  readonly call?: (data: unknown) => Promise<Caller>;
}

/** What the runner has a rig do. */
export type Job =
  | { readonly kind: 'echo'; readonly outstanding: number; readonly ms: number; readonly beside?: Beside }
  | { readonly kind: 'blob'; readonly bytes: number; readonly outstanding: number; readonly ms: number }
  | { readonly kind: 'items'; readonly count: number };

/** What goes on beside the measured calls. */
export type Beside = { readonly kind: 'blob'; readonly bytes: number } | { readonly kind: 'stuck' };

export interface Result {
  readonly count: number;
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** How many of the disturbing calls were made meanwhile. */
  readonly besideCount: number;
}

export interface Measured extends Result {
  readonly cpuUs: number;
}

/** A message; its text differs a little from call to call, so that nothing can be cached. */
export function makeMessage(id: number): Message {
  return {
    id,
    component: 'kube.apiserver',
    line: `I1123 12:44:53.${id} 1 trace.go:205] Trace[${id}]: "List etcd3" key:/pods took`,
  };
}
