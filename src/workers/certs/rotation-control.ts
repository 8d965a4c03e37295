import type { Rereads } from '../../platform/components.js';
import { sleep } from '../../lib/time.js';
import { trusted, type Pki } from './pki.js';
import { authorityNames } from './profiles.js';
import type { RotationFacts } from './rotation.js';

/** What the API server and the kubelet have begun to read takes no longer. */
const readingMs = 5_000;

/** How long after they got them the API server and the kubelet go by the authorities in their files, in milliseconds. */
export function trustMs({ serversMs }: Rereads): number {
  return serversMs + readingMs;
}

/** What a rotation goes by and the record of it does not say: who wants one, and what the components have by now. */
export class RotationControl {
  readonly #now: () => number;
  readonly #waitMs: number;
  #asked = false;
  /** What has to be trusted, and from which revision on the files say so. */
  #trust = { key: '', since: 0 };
  /** What is on its way to the components, and since when; undefined when they have all. */
  #onItsWay: { readonly revision: number; readonly sinceMs: number } | undefined;
  /** When every component first had such files; undefined until then. */
  #deliveredAtMs: number | undefined;
  #look = false;
  #wake = new AbortController();

  /** `waitMs` is for the components, see trustMs(); `now` is a monotonic clock in milliseconds. */
  constructor(waitMs: number, now: () => number = () => performance.now()) {
    this.#now = now;
    this.#waitMs = waitMs;
  }

  get facts(): Omit<RotationFacts, 'nowMs'> {
    const atMs = this.#deliveredAtMs;
    return { asked: this.#asked, delivered: atMs !== undefined && this.#now() - atMs >= this.#waitMs };
  }

  /** For how long the components have not been given what they should have, in milliseconds; 0 when they have it. */
  get undeliveredMs(): number {
    return this.#onItsWay === undefined ? 0 : this.#now() - this.#onItsWay.sinceMs;
  }

  /** Asks for a rotation; one that is under way is the one that was asked for. */
  request(): void {
    this.#asked = true;
    this.#wake.abort();
  }

  /** Has the PKI read again at once: somebody else has changed it. */
  look(): void {
    this.#look = true;
    this.#wake.abort();
  }

  /** Whether it is to be read again; once for each time that it was asked for. */
  takeLook(): boolean {
    const wanted = this.#look;
    this.#look = false;
    return wanted;
  }

  /** This PKI is handed out from now on, as this revision. */
  publish(revision: number, pki: Pki): void {
    if (pki.rotation !== undefined) this.#asked = false;
    this.#onItsWay = { revision, sinceMs: this.#onItsWay?.sinceMs ?? this.#now() };
    const authorities = authorityNames.flatMap((name) => trusted(pki, name));
    const key = [
      pki.rotation?.phase ?? '',
      ...authorities.map(({ fingerprint256 }) => fingerprint256),
    ].join();
    // Leaves that are renewed in between are no reason to wait anew.
    if (key === this.#trust.key) return;
    this.#trust = { key, since: revision };
    this.#deliveredAtMs = undefined;
  }

  /** Every component has the files of this revision. */
  deliver(revision: number): void {
    if (revision >= this.#trust.since) this.#deliveredAtMs ??= this.#now();
    const next = this.#onItsWay;
    if (next === undefined) return;
    // What came after it has its own time.
    this.#onItsWay = revision >= next.revision ? undefined : { ...next, sinceMs: this.#now() };
  }

  /** Waits, but no longer than until a rotation or a look is asked for. Throws the signal's reason. */
  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    const wake = this.#wake.signal;
    try {
      await sleep(ms, AbortSignal.any([signal, wake]));
    } catch (error) {
      if (!wake.aborted) throw error;
      signal.throwIfAborted();
      this.#wake = new AbortController();
    }
  }
}
