import { X509Certificate } from 'node:crypto';
import type { ConditionUpdate } from '../../ipc/services/host.js';
import { isHamletError, messageOf } from '../../lib/errors.js';
import type { RemoteOptions, TlsCredentials } from './remote.js';

/** The worker that gives the certificate may be started again meanwhile: it is long back by then. */
const patienceMs = 60_000;

export interface RemoteConditionOptions {
  readonly where: RemoteOptions;
  readonly report: (condition: ConditionUpdate) => void;
  /** Wall clock, milliseconds since the epoch. */
  readonly now?: () => number;
  /** Monotonic, in milliseconds. */
  readonly ticks?: () => number;
}

/** The condition RemoteDebugReady: whether clients on other machines can get in, and by a certificate that is good. */
export class RemoteCondition {
  readonly #options: Required<RemoteConditionOptions>;
  #served: X509Certificate | undefined;
  #failedSinceMs: number | undefined;

  constructor(options: RemoteConditionOptions) {
    this.#options = { now: Date.now, ticks: () => performance.now(), ...options };
    this.#say('false', 'Starting', 'waits for the certificate by which the node is known to other machines');
  }

  /** It listens, and shows this from the next handshake on. */
  serves({ cert }: TlsCredentials): void {
    const served = new X509Certificate(cert);
    this.#served = served;
    this.#failedSinceMs = undefined;
    const { address, port } = this.#options.where;
    const what = `clients with a certificate are let in at ${address}:${port}`;
    this.#say('true', '', `${what}; the node's own ends on ${served.validTo}`);
  }

  /** It could not get a certificate, or not listen, and that is tried again. */
  failed(error: unknown): void {
    const { now, ticks } = this.#options;
    this.#failedSinceMs ??= ticks();
    const message = messageOf(error);
    const served = this.#served;
    if (served === undefined) {
      this.#say('false', reasonOf(error), `nobody is let in from other machines: ${message}`);
      return;
    }
    const isOver = now() >= Date.parse(served.validTo);
    if (!isOver && isAway(error) && ticks() - this.#failedSinceMs < patienceMs) return;
    const what = `the certificate that clients on other machines see ${isOver ? 'ended' : 'ends'} on ${served.validTo}`;
    this.#say(
      'false',
      isOver ? 'Expired' : 'NotDelivered',
      `${what}, and the next one cannot be had: ${message}`,
    );
  }

  #say(status: ConditionUpdate['status'], reason: string, message: string): void {
    this.#options.report({ name: 'RemoteDebugReady', status, reason, message });
  }
}

function reasonOf(error: unknown): string {
  if (isAway(error)) return 'Starting';
  const isOfListening = isHamletError(error) && 'port' in error.details;
  return isOfListening ? 'CannotListen' : 'NotDelivered';
}

/** Whoever gives the certificate is not there yet, or not there again, or has none yet itself. */
function isAway(error: unknown): boolean {
  return isHamletError(error, 'UNAVAILABLE');
}
