import { HamletError } from '../lib/errors.js';
import type { CallContext } from './contract.js';
import { MAX_TIMER_MS, setDeadline } from './deadline.js';
import { WINDOW_BYTES } from './frame.js';

/** One open call, seen from its server. It is the context that its handler gets. */
export class IncomingCall implements CallContext {
  readonly id: number;
  readonly address: number;
  readonly source: string;
  readonly key: string;
  /** On performance.now()'s clock; Infinity for none. */
  readonly #deadlineAt: number;
  readonly #windowBytes: number;
  creditBytes: number;
  /** Why the call is over before its handler is. */
  #ended: HamletError | undefined;
  #controller: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;

  constructor(
    id: number,
    address: number,
    source: string,
    key: string,
    remainingMs: number,
    windowBytes = WINDOW_BYTES,
  ) {
    this.id = id;
    this.address = address;
    this.source = source;
    this.key = key;
    this.#windowBytes = windowBytes;
    this.creditBytes = windowBytes;
    this.#deadlineAt = remainingMs === 0 ? Infinity : performance.now() + remainingMs;
  }

  /** Most handlers never look at it, so it is made when it is asked for. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#ended !== undefined) this.#controller.abort(this.#ended);
      else if (this.#deadlineAt !== Infinity) this.#watchDeadline();
      setDeadline(this.#controller.signal, this.#deadlineAt);
    }
    return this.#controller.signal;
  }

  get over(): boolean {
    return this.#ended !== undefined;
  }

  /** The caller is no longer interested: tells the handler. */
  end(reason: HamletError): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.release();
    this.#controller?.abort(reason);
    this.#wake?.();
  }

  /** Stops the clock. */
  release(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
  }

  grant(bytes: number): void {
    this.creditBytes = Math.min(this.creditBytes + bytes, this.#windowBytes);
    if (this.creditBytes > 0) this.#wake?.();
  }

  /** Waits until the caller has room again, or the call is over. */
  async credit(): Promise<void> {
    while (this.creditBytes <= 0 && this.#ended === undefined) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    this.#wake = undefined;
  }

  // The caller's own deadline ends the call with a CANCEL; this is for a caller that hangs.
  #watchDeadline(): void {
    const remainingMs = Math.max(0, this.#deadlineAt - performance.now());
    if (remainingMs > MAX_TIMER_MS) return;
    this.#timer = setTimeout(() => {
      this.end(new HamletError('DEADLINE_EXCEEDED', `${this.key}: the caller's deadline has passed`));
    }, remainingMs);
  }
}
