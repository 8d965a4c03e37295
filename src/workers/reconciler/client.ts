import https from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node/dist/config.js';
// Deep imports: the package's index, and its KubeConfig as a value, bring every API group and 60 MB with them.
import {
  HttpMethod,
  IsomorphicFetchHttpLibrary,
  RequestContext,
} from '@kubernetes/client-node/dist/gen/http/http.js';
import { Watch } from '@kubernetes/client-node/dist/watch.js';
import { HamletError } from '../../lib/errors.js';
import { apiError, type Status } from './api-error.js';
import type { KubernetesObject } from './object.js';

/** How long one request may take, in milliseconds; the API server itself gives up on etcd before that. */
const requestTimeoutMs = 15_000;

/** Who the API server says has changed something, in managedFields and in its own log. */
const userAgent = 'hamlet-reconciler';

/** PEM, as the certs service has them. */
export interface ClientCredentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: KubernetesObject;
}

export interface ObjectList {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly KubernetesObject[];
}

export type Query = Readonly<Record<string, string | number | boolean>>;

/**
 * Requests to one API server. Every wait ends with its signal. Throws HamletErrors: what the server refused with the
 * code that apiError() gives it, UNAVAILABLE when there was no answer, DEADLINE_EXCEEDED after 15 s.
 */
export class ApiClient {
  readonly #server: string;
  #agent: https.Agent;
  /** The one before: what it has under way goes on to its end. */
  #oldAgent: https.Agent | undefined;
  readonly #http = new IsomorphicFetchHttpLibrary();
  readonly #watch: Watch;

  /** `server` is the URL up to where paths begin: https://127.0.0.1:6443. */
  constructor(server: string, credentials: ClientCredentials) {
    this.#server = server;
    this.#agent = newAgent(credentials);
    // All that Watch asks a KubeConfig for.
    const config: Pick<KubeConfig, 'getCurrentCluster' | 'applyToFetchOptions'> = {
      getCurrentCluster: () => ({ name: 'hamlet', server, skipTLSVerify: false }),
      applyToFetchOptions: async () => ({ agent: this.#agent, headers: { 'User-Agent': userAgent } }),
    };
    this.#watch = new Watch(config as KubeConfig);
  }

  async get<T>(path: string, query: Query, signal: AbortSignal): Promise<T> {
    return (await this.#send(HttpMethod.GET, path, query, undefined, signal)) as T;
  }

  async create(path: string, object: KubernetesObject, signal: AbortSignal): Promise<KubernetesObject> {
    return (await this.#send(HttpMethod.POST, path, {}, object, signal)) as KubernetesObject;
  }

  async replace(path: string, object: KubernetesObject, signal: AbortSignal): Promise<KubernetesObject> {
    return (await this.#send(HttpMethod.PUT, path, {}, object, signal)) as KubernetesObject;
  }

  /** Deletes an object; if `seen` is given, only as it was seen, and ABORTED if it has changed since. */
  async remove(path: string, seen: KubernetesObject | undefined, signal: AbortSignal): Promise<void> {
    const preconditions = seen && { uid: seen.metadata.uid, resourceVersion: seen.metadata.resourceVersion };
    const options = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions };
    await this.#send(HttpMethod.DELETE, path, {}, options, signal);
  }

  /**
   * Hands over each change until the server ends the stream, and returns then. Throws what broke it: OUT_OF_RANGE
   * when the version to start from is not there any more (HTTP 410), the signal's reason when it is aborted.
   */
  async watch(
    path: string,
    query: Query,
    onEvent: (event: WatchEvent) => void,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const what = `watch ${path}`;
    let onAbort = (): void => undefined;
    let request: Promise<AbortController> | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        onAbort = () => reject(signal.reason);
        signal.addEventListener('abort', onAbort, { once: true });
        const onLine = (type: string, object: unknown): void => {
          // Watch swallows what is thrown in here: it takes it for a line that is not JSON.
          try {
            if (type === 'ERROR') throw apiError(what, object as Status);
            onEvent({ type, object } as WatchEvent);
          } catch (error) {
            reject(error);
          }
        };
        const onDone = (error: unknown): void => {
          if (error === null || error === undefined) resolve();
          else reject(brokenWatch(what, error));
        };
        request = this.#watch.watch(path, { ...query }, onLine, onDone);
      });
    } finally {
      signal.removeEventListener('abort', onAbort);
      // Without an answer there is nothing to abort yet; close() ends such a connection.
      void request?.then((started) => started.abort());
    }
  }

  /**
   * Uses these from the next request on. A server looks at a client's certificate again for each request, so nothing
   * must be asked on a connection of the old one; a watch that runs has been let in, and the server ends it in minutes.
   */
  renew(credentials: ClientCredentials): void {
    this.#oldAgent?.destroy();
    this.#oldAgent = this.#agent;
    this.#agent = newAgent(credentials);
    this.#oldAgent.maxFreeSockets = 0;
    for (const socket of Object.values(this.#oldAgent.freeSockets).flat()) socket?.destroy();
  }

  /** Ends every connection, and with it every request that is under way. */
  close(): void {
    this.#oldAgent?.destroy();
    this.#agent.destroy();
  }

  async #send(
    method: HttpMethod,
    path: string,
    query: Query,
    body: unknown,
    signal: AbortSignal,
  ): Promise<unknown> {
    const what = `${method} ${path}`;
    const timeout = AbortSignal.timeout(requestTimeoutMs);
    const request = new RequestContext(`${this.#server}${path}`, method);
    for (const [key, value] of Object.entries(query)) request.setQueryParam(key, String(value));
    request.setHeaderParam('Accept', 'application/json');
    request.setHeaderParam('User-Agent', userAgent);
    if (body !== undefined) {
      request.setHeaderParam('Content-Type', 'application/json');
      request.setBody(JSON.stringify(body));
    }
    request.setAgent(this.#agent);
    request.setSignal(AbortSignal.any([signal, timeout]));
    let httpStatus: number;
    let text: string;
    try {
      const response = await this.#http.send(request).toPromise();
      httpStatus = response.httpStatusCode;
      text = await response.body.text();
    } catch (cause) {
      signal.throwIfAborted();
      throw new HamletError(timeout.aborted ? 'DEADLINE_EXCEEDED' : 'UNAVAILABLE', `${what}: no answer`, {
        cause,
      });
    }
    if (httpStatus >= 300) throw apiError(what, { ...parseStatus(text), code: httpStatus });
    return JSON.parse(text);
  }
}

function newAgent(credentials: ClientCredentials): https.Agent {
  return new https.Agent({ ...credentials, keepAlive: true });
}

/** A refusal's Status; a proxy or an overloaded server may answer in plain text instead. */
function parseStatus(text: string): Status {
  try {
    return JSON.parse(text) as Status;
  } catch {
    return { message: text.trim().slice(0, 200) };
  }
}

function brokenWatch(what: string, error: unknown): HamletError {
  if (error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number') {
    return apiError(what, { code: error.statusCode, message: error.message });
  }
  return new HamletError('UNAVAILABLE', `${what}: the connection broke`, { cause: error });
}
