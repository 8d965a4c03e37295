import type { Logger } from 'pino';
import type { Features } from '../../platform/kubernetes-versions.js';
import type { ApiClient } from './client.js';
import { inform, type Follower } from './informer.js';
import { KeptObject } from './kept-object.js';
import { builtinSelector, pathOf, type BuiltinKind, type KubernetesObject } from './object.js';

export interface KeeperOptions {
  readonly api: ApiClient;
  readonly kinds: readonly BuiltinKind[];
  readonly features: Features;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Called when what is missing may have changed. */
  readonly onProgress: () => void;
}

/** Keeps the built-in objects as they have to be, for as long as its signal lets it. */
export class Keeper {
  readonly #options: KeeperOptions;
  readonly #kinds: readonly KindKeeper[];

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#kinds = options.kinds
      .filter((kind) => kind.served(options.features))
      .map((kind) => new KindKeeper(kind, options));
  }

  /** Watches every kind until the signal is aborted. Throws UNAUTHENTICATED. */
  async run(): Promise<void> {
    const { api, log, signal } = this.#options;
    await Promise.all(
      this.#kinds.map((keeper) =>
        inform(api, { path: keeper.path, selector: { labelSelector: builtinSelector } }, keeper, {
          log,
          signal,
        }),
      ),
    );
  }

  /** The built-in objects that are not in place as far as is known, as "ClusterRole hamlet:psp-default". */
  get missing(): readonly string[] {
    return this.#kinds.flatMap((keeper) => keeper.missing);
  }
}

/** The objects of one kind that carry the label: ours and, until they are gone, others'. */
class KindKeeper implements Follower {
  readonly path: string;
  readonly #kind: BuiltinKind;
  readonly #options: KeeperOptions;
  readonly #ours: ReadonlyMap<string, KeptObject>;
  readonly #others = new Map<string, KeptObject>();
  #isListed = false;

  constructor(kind: BuiltinKind, options: KeeperOptions) {
    this.path = pathOf(kind);
    this.#kind = kind;
    this.#options = options;
    const desired = kind.objects(options.features);
    this.#ours = new Map(
      desired.map((object) => [object.metadata.name, this.#keep(object.metadata.name, object)]),
    );
  }

  get missing(): readonly string[] {
    return [...this.#ours]
      .filter(([, object]) => !this.#isListed || !object.isInPlace)
      .map(([name]) => `${this.#kind.kind} ${name}`);
  }

  onList(objects: readonly KubernetesObject[]): void {
    this.#isListed = true;
    const listed = new Map(objects.map((object) => [object.metadata.name, object]));
    for (const [name, kept] of [...this.#ours, ...this.#others]) kept.observe(listed.get(name));
    for (const [name, object] of listed) if (!this.#ours.has(name)) this.onChange(object);
    this.#options.onProgress();
  }

  onChange(object: KubernetesObject): void {
    this.#find(object.metadata.name).observe(object);
  }

  onGone({ metadata: { name } }: KubernetesObject): void {
    this.#find(name).observe(undefined);
  }

  #find(name: string): KeptObject {
    const known = this.#ours.get(name) ?? this.#others.get(name);
    if (known !== undefined) return known;
    // The others are remembered for as long as their backoff counts, and no longer.
    for (const [other, kept] of this.#others) if (kept.isForgettable) this.#others.delete(other);
    const added = this.#keep(name, undefined);
    this.#others.set(name, added);
    return added;
  }

  #keep(name: string, desired: KubernetesObject | undefined): KeptObject {
    const { api, log, signal, onProgress } = this.#options;
    return new KeptObject({ kind: this.#kind, name, desired, api, log, signal, onProgress });
  }
}
