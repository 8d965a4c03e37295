import type { Logger } from 'pino';
import { isHamletError, messageOf, HamletError } from '../../lib/errors.js';
import { sleep } from '../../lib/time.js';
import { Backoff, type BackoffLimits } from './backoff.js';
import type { ApiClient, ObjectList, Query, WatchEvent } from './client.js';
import type { KubernetesObject } from './object.js';

/** A watch that broke is taken up again at once the first time, as after a restart of the API server. */
const reconnect: BackoffLimits = { free: 1, firstMs: 250, maxMs: 30_000, quietMs: 60_000 };

/** The server ends each watch after this time and up to as much again, as client-go has it; seconds. */
const watchSeconds = 300;

/** A watch that ends sooner than this has not worked, even if it ended cleanly; milliseconds. */
const shortestWatchMs = 1_000;

/** Which objects are followed. */
export interface Source {
  /** The collection's URL path. */
  readonly path: string;
  readonly selector: { readonly labelSelector: string } | { readonly fieldSelector: string };
}

export interface Follower {
  /** All objects there are; called again whenever the watch had to start over. */
  onList(objects: readonly KubernetesObject[]): void;
  /** One object as it is now. */
  onChange(object: KubernetesObject): void;
  /** One object that went away, or that the selector does not match any more. */
  onGone(object: KubernetesObject): void;
}

/**
 * Lists the objects of a source and follows them from there, until the signal is aborted. What breaks is taken up
 * again, with backoff, from a fresh list. Throws UNAUTHENTICATED, which no repetition helps against.
 */
export async function inform(
  api: ApiClient,
  source: Source,
  follower: Follower,
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  const backoff = new Backoff(reconnect);
  while (!signal.aborted) {
    try {
      let version = await list(api, source, follower, signal);
      while (!isAborted(signal)) version = await follow(api, source, version, follower, signal);
    } catch (error) {
      if (isAborted(signal)) return;
      if (isHamletError(error, 'UNAUTHENTICATED')) throw error;
      const delayMs = Math.round(backoff.next());
      const reason = messageOf(error);
      log.warn({ path: source.path, reason, delayMs }, `the watch is started over: ${reason}`);
      await sleep(delayMs, signal).catch(() => undefined);
    }
  }
}

// A function, because the compiler takes a signal's state for constant.
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

async function list(
  api: ApiClient,
  source: Source,
  follower: Follower,
  signal: AbortSignal,
): Promise<string> {
  const answer = await api.get<ObjectList>(source.path, source.selector, signal);
  follower.onList(answer.items);
  return answer.metadata.resourceVersion;
}

/** One watch from a version on; gives the version to go on from after a clean end. */
async function follow(
  api: ApiClient,
  source: Source,
  version: string,
  follower: Follower,
  signal: AbortSignal,
): Promise<string> {
  let latest = version;
  const onEvent = ({ type: change, object }: WatchEvent): void => {
    latest = object.metadata.resourceVersion ?? latest;
    switch (change) {
      case 'ADDED':
      case 'MODIFIED':
        follower.onChange(object);
        break;
      case 'DELETED':
        follower.onGone(object);
        break;
      case 'BOOKMARK':
        break;
      default:
        change satisfies never;
    }
  };
  const query: Query = {
    ...source.selector,
    resourceVersion: version,
    allowWatchBookmarks: true,
    timeoutSeconds: Math.round(watchSeconds * (1 + Math.random())),
  };
  const startedAtMs = performance.now();
  await api.watch(source.path, query, onEvent, signal);
  if (performance.now() - startedAtMs < shortestWatchMs) {
    throw new HamletError('UNAVAILABLE', 'the server ended the watch at once');
  }
  return latest;
}
