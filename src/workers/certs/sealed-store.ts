import type { PkiChanges, PkiValues } from './pki.js';
import { isSealed, type Sealer } from '../../platform/sealer.js';
import type { PkiStore, Snapshot } from './store.js';

/** How a key begins that is not sealed: DER's SEQUENCE, and the brace of JSON for those that encrypt Secrets. */
const plainStarts: readonly (number | undefined)[] = [0x30, 0x7b];

/** A store whose private keys are sealed in the store behind it; certificates are public anyway. */
export class SealedStore implements PkiStore {
  readonly #store: PkiStore;
  readonly #sealer: Sealer;

  constructor(store: PkiStore, sealer: Sealer) {
    this.#store = store;
    this.#sealer = sealer;
  }

  /** Everything as it was before it was sealed. Keys that an older version has left in plain are sealed first. */
  async read(signal: AbortSignal): Promise<Snapshot> {
    for (;;) {
      const snapshot = await this.#store.read(signal);
      const plain = [...snapshot.values].filter(
        ([name, value]) => isKey(name) && plainStarts.includes(value[0]),
      );
      if (plain.length === 0) return { ...snapshot, values: this.#opened(snapshot.values) };
      // If somebody else wrote meanwhile, nothing was written here: what is there now is looked at again.
      await this.#store.write(this.#sealed(new Map(plain)), snapshot, signal);
    }
  }

  async write(changes: PkiChanges, snapshot: Snapshot, signal: AbortSignal): Promise<boolean> {
    return this.#store.write(this.#sealed(changes), snapshot, signal);
  }

  #sealed(changes: PkiChanges): PkiChanges {
    return mapKeys(changes, (name, value) => (value === null ? null : this.#sealer.seal(name, value)));
  }

  /** What is neither sealed nor plain goes through as it is: who reads it says that it is damaged. */
  #opened(values: PkiValues): PkiValues {
    return mapKeys(values, (name, value) => (isSealed(value) ? this.#sealer.open(name, value) : value));
  }
}

function isKey(name: string): boolean {
  return name.endsWith('.key');
}

function mapKeys<T>(values: ReadonlyMap<string, T>, change: (name: string, value: T) => T): Map<string, T> {
  return new Map([...values].map(([name, value]) => [name, isKey(name) ? change(name, value) : value]));
}
