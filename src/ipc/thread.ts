/** What a worker thread and the main thread say to each other beside the mesh: the start, the end, the heartbeat. */

/** Where a worker's log goes, and from which level on. */
export interface ThreadLog {
  /** A descriptor of this process; 2 (stderr) by default. */
  readonly fd?: number;
  /** pino's level; "info" by default. */
  readonly level?: 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

/** What a worker thread finds in its workerData; the rest it is told when its work begins. */
export interface ThreadName {
  readonly name: string;
}

/** What a worker thread is told when its work begins. */
export interface ThreadData extends ThreadName {
  /** The router's socket, and the secret that it gave for the name. */
  readonly mesh: { readonly path: string; readonly secret: string };
  readonly log: ThreadLog;
  /** For the worker's setup function. */
  readonly data: unknown;
  /** One Int32 that the worker counts up every HEARTBEAT_MS. */
  readonly heartbeat: SharedArrayBuffer;
}

/** From the worker: its setup is done. */
export type ThreadMessage = { readonly kind: 'ready' };

/** To the worker, once: begin your work. Then: stop what you do and end. */
export type HostMessage = { readonly kind: 'begin'; readonly thread: ThreadData } | { readonly kind: 'stop' };

/** How often a worker shows that its event loop turns. */
export const HEARTBEAT_MS = 500;
