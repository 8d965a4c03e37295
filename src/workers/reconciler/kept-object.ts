import type { Logger } from 'pino';
import { isHamletError, messageOf } from '../../lib/errors.js';
import { sleep } from '../../lib/time.js';
import { Backoff, type BackoffLimits } from './backoff.js';
import type { ApiClient } from './client.js';
import { decide, type Action } from './decide.js';
import { pathOf, type BuiltinKind, type KubernetesObject } from './object.js';

/**
 * What is altered is put right at once. Who alters it again and again gets ever slower answers: a controller that
 * wants something else would otherwise keep both sides and the API server busy.
 */
const rightings: BackoffLimits = { free: 5, firstMs: 250, maxMs: 30_000, quietMs: 60_000 };

/** A write that failed is tried again. */
const failures: BackoffLimits = { free: 0, firstMs: 250, maxMs: 30_000, quietMs: 60_000 };

export interface KeptObjectOptions {
  readonly kind: BuiltinKind;
  readonly name: string;
  /** How the object has to be; undefined for one that may not be there. */
  readonly desired: KubernetesObject | undefined;
  readonly api: ApiClient;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly onProgress: () => void;
}

/**
 * One object: how it was seen last, and at most one write at a time until it is as it has to be. What a write has
 * done is believed when the watch shows it, because its answer and the watch come over different connections.
 */
export class KeptObject {
  readonly #options: KeptObjectOptions;
  readonly #path: string;
  readonly #collection: string;
  readonly #rightings = new Backoff(rightings);
  readonly #failures = new Backoff(failures);
  #observed: KubernetesObject | undefined;
  #settled: KubernetesObject | undefined;
  #isBusy = false;
  /** Whether the object was seen anew since the last decision. */
  #isStale = false;

  constructor(options: KeptObjectOptions) {
    this.#options = options;
    this.#path = pathOf(options.kind, options.name);
    this.#collection = pathOf(options.kind);
  }

  /** Whether the object is there and as it has to be. */
  get isInPlace(): boolean {
    return this.#options.desired !== undefined && this.#decide().kind === 'none';
  }

  /** Whether nothing is lost when this object is forgotten and made anew. */
  get isForgettable(): boolean {
    return !this.#isBusy && this.#observed === undefined && this.#rightings.isQuiet && this.#failures.isQuiet;
  }

  /** Takes note of how the object is now, undefined when there is none with our label, and puts it right. */
  observe(object: KubernetesObject | undefined): void {
    this.#observed = object;
    this.#isStale = true;
    this.#options.onProgress();
    if (!this.#isBusy) void this.#putRight();
  }

  #decide(): Action {
    return decide({ desired: this.#options.desired, observed: this.#observed, settled: this.#settled });
  }

  async #putRight(): Promise<void> {
    const { signal, onProgress } = this.#options;
    this.#isBusy = true;
    try {
      while (this.#isStale && this.#decide().kind !== 'none') {
        const delayMs = this.#rightings.next();
        if (delayMs > 0) await sleep(delayMs, signal);
        this.#isStale = false;
        await this.#try(this.#decide());
        onProgress();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#isBusy = false;
    }
  }

  /** Acts; a failure is logged, waited for, and counts as if the object had changed. */
  async #try(action: Action): Promise<void> {
    const { log, signal } = this.#options;
    try {
      await this.#act(action);
    } catch (error) {
      signal.throwIfAborted();
      const retryMs = Math.round(this.#failures.next());
      const reason = messageOf(error);
      log.warn(
        { object: this.#label, reason, retryMs },
        `could not ${action.kind} ${this.#label}: ${reason}`,
      );
      await sleep(retryMs, signal);
      this.#isStale = true;
    }
  }

  async #act(action: Action): Promise<void> {
    const { desired } = this.#options;
    if (action.kind === 'none') return;
    if (action.kind === 'remove') {
      await this.#remove();
      this.#say('removed', action.reason);
    } else if (desired !== undefined) {
      this.#settled =
        action.kind === 'create'
          ? await this.#create(desired, action.reason)
          : await this.#replace(desired, action.reason);
    }
  }

  async #create(desired: KubernetesObject, reason: string): Promise<KubernetesObject> {
    const { api, signal } = this.#options;
    try {
      const created = await api.create(this.#collection, desired, signal);
      this.#say('created', reason);
      return created;
    } catch (error) {
      if (!isHamletError(error, 'ALREADY_EXISTS')) throw error;
      return this.#replace(desired, 'it was there without the label');
    }
  }

  async #replace(desired: KubernetesObject, reason: string): Promise<KubernetesObject> {
    const { api, signal } = this.#options;
    try {
      const replaced = await api.replace(this.#path, desired, signal);
      this.#say('replaced', reason);
      return replaced;
    } catch (error) {
      if (!isHamletError(error, 'INVALID_ARGUMENT') && !isHamletError(error, 'NOT_FOUND')) throw error;
      // Either it has gone meanwhile, or it has a field that may not change, such as the role of a binding.
      if (isHamletError(error, 'INVALID_ARGUMENT')) await this.#remove();
      const created = await api.create(this.#collection, desired, signal);
      this.#say('created', reason);
      return created;
    }
  }

  /** Only the object that was seen: what has lost our label since is nobody's to remove. */
  async #remove(): Promise<void> {
    const { api, signal } = this.#options;
    try {
      await api.remove(this.#path, this.#observed, signal);
    } catch (error) {
      if (!isHamletError(error, 'NOT_FOUND') && !isHamletError(error, 'ABORTED')) throw error;
    }
  }

  #say(what: string, reason: string): void {
    this.#options.log.info({ object: this.#label, reason }, `${what} ${this.#label}: ${reason}`);
  }

  get #label(): string {
    return `${this.#options.kind.kind} ${this.#options.name}`;
  }
}
