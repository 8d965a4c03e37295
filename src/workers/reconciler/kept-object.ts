import type { Logger } from 'pino';
import { isHamletError, messageOf } from '../../lib/errors.js';
import { sleep } from '../../lib/time.js';
import { Backoff, type BackoffLimits } from './backoff.js';
import type { ApiClient } from './client.js';
import { decide, type Action, type Write } from './decide.js';
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
    this.#learn(object);
    this.#options.onProgress();
    if (!this.#isBusy) void this.#putRight();
  }

  #decide(): Action {
    const { desired, kind } = this.#options;
    return decide({ desired, observed: this.#observed, settled: this.#settled, fixedField: kind.fixedField });
  }

  async #putRight(): Promise<void> {
    const { signal, onProgress } = this.#options;
    this.#isBusy = true;
    try {
      let backoff = this.#rightings;
      while (this.#isStale && this.#decide().kind !== 'none') {
        const delayMs = backoff.next();
        if (delayMs > 0) await sleep(delayMs, signal);
        this.#isStale = false;
        backoff = (await this.#try(this.#decide())) ? this.#rightings : this.#failures;
        onProgress();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#isBusy = false;
    }
  }

  /** Acts, and says whether it could. A failure counts as if the object had changed. */
  async #try(action: Action): Promise<boolean> {
    const { log, signal } = this.#options;
    try {
      await this.#act(action);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      const reason = messageOf(error);
      log.warn({ object: this.#label, reason }, `could not ${action.kind} ${this.#label}: ${reason}`);
      this.#isStale = true;
      return false;
    }
  }

  async #act(action: Action): Promise<void> {
    switch (action.kind) {
      case 'none':
        return;
      case 'create':
        return this.#create(action);
      case 'replace':
        return this.#replace(action);
      case 'remake':
        await this.#remove();
        return this.#create(action);
      case 'remove':
        await this.#remove();
        this.#say('removed', action.reason);
        return;
      default:
        action satisfies never;
    }
  }

  async #create({ desired, reason }: Write): Promise<void> {
    const { api, signal } = this.#options;
    try {
      this.#settled = await api.create(this.#collection, desired, signal);
      this.#say('created', reason);
    } catch (error) {
      if (!isHamletError(error, 'ALREADY_EXISTS')) throw error;
      // It has lost the label that the watch goes by.
      this.#learn(await api.get<KubernetesObject>(this.#path, {}, signal));
    }
  }

  async #replace({ desired, reason }: Write): Promise<void> {
    const { api, signal } = this.#options;
    try {
      this.#settled = await api.replace(this.#path, desired, signal);
      this.#say('replaced', reason);
    } catch (error) {
      if (!isHamletError(error, 'NOT_FOUND')) throw error;
      this.#learn(undefined);
    }
  }

  /** Only what was seen: an object that has lost our label since is nobody's to remove, and the watch tells. */
  async #remove(): Promise<void> {
    const { api, signal } = this.#options;
    try {
      await api.remove(this.#path, this.#observed, signal);
    } catch (error) {
      if (!isHamletError(error, 'NOT_FOUND') && !isHamletError(error, 'ABORTED')) throw error;
    }
  }

  #learn(object: KubernetesObject | undefined): void {
    this.#observed = object;
    this.#isStale = true;
  }

  #say(what: string, reason: string): void {
    this.#options.log.info({ object: this.#label, reason }, `${what} ${this.#label}: ${reason}`);
  }

  get #label(): string {
    return `${this.#options.kind.kind} ${this.#options.name}`;
  }
}
