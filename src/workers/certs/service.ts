import { createHash, type X509Certificate } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import type { CallContext, Handlers } from '../../ipc/contract.js';
import { deadlineOf } from '../../ipc/deadline.js';
import type { certs, EncryptionProgress, Holder } from '../../ipc/services/certs.js';
import type { ConditionUpdate } from '../../ipc/services/host.js';
import { HamletError, messageOf } from '../../lib/errors.js';
import { deadline } from '../../lib/time.js';
import type { WorkerName } from '../../lib/names.js';
import type { Lifetimes } from '../../platform/lifetimes.js';
import type { AuditTrail } from './audit.js';
import { credentialFiles } from './credentials.js';
import { DebugCredentials, type DebugCredentialsOptions } from './debug-credentials.js';
import { isOverdue, isPending, type Encryption } from './encryption.js';
import { describeKey, listCertificates } from './list.js';
import { notAfterMs, type Pki } from './pki.js';
import { authorityNames, type NodeFacts } from './profiles.js';
import type { RotationControl } from './rotation-control.js';
import { describeRotation } from './rotation.js';

/** How far the PKI is. A refused one stays refused: what is wrong with it is for a person to decide. */
export type PkiState =
  | { readonly kind: 'waiting'; readonly reason: string; readonly message: string }
  | { readonly kind: 'ready'; readonly pki: Pki }
  | { readonly kind: 'refused'; readonly error: HamletError };

/** Looks how far Secrets in etcd are encrypted by the current key, and puts it on record when all of them are. */
export type CheckSecrets = (encryption: Encryption, signal: AbortSignal) => Promise<EncryptionProgress>;

interface Renewal {
  readonly revision: number;
  readonly thorough: boolean;
  readonly overdue: boolean;
}

/**
 * A wait ends this long before the caller's deadline, so that it hears what is missing and not just "too late": a tenth
 * of the time that the caller gave, within these bounds, because a machine that is busy is late by more than usual.
 */
const answerMarginMs = { least: 200, most: 1_000 };

/** How often those who follow the renewals are reminded, in milliseconds. */
const reminderMs = 10 * 60_000;

export interface CertsServiceOptions extends DebugCredentialsOptions {
  readonly rotation: RotationControl;
  /** Below this each component finds its secrets in a folder of its name. */
  readonly secretsFolder: string;
  readonly checkSecrets: CheckSecrets;
}

/** The `certs` service: hands out what the PKI holds, to those who may have it. */
export class CertsService {
  readonly handlers: Handlers<typeof certs>;
  readonly #debugCredentials: DebugCredentials;
  readonly #apiserverPort: number;
  readonly #lifetimes: Lifetimes;
  readonly #facts: NodeFacts;
  readonly #audit: AuditTrail;
  readonly #now: () => number;
  readonly #rotation: RotationControl;
  readonly #secretsFolder: string;
  readonly #checkSecrets: CheckSecrets;
  readonly #changes = new EventEmitter().setMaxListeners(0);
  /** Above those of an earlier run, so that what is said about one of them says nothing about these. */
  #revision = Date.now();
  #state: PkiState = { kind: 'waiting', reason: 'Starting', message: 'the certs worker is starting' };

  constructor(options: CertsServiceOptions) {
    this.#debugCredentials = new DebugCredentials(options);
    this.#apiserverPort = options.apiserverPort;
    this.#lifetimes = options.lifetimes;
    this.#facts = options.facts;
    this.#audit = options.audit;
    this.#now = options.now;
    this.#rotation = options.rotation;
    this.#secretsFolder = options.secretsFolder;
    this.#checkSecrets = options.checkSecrets;
    this.handlers = {
      credentials: async ({ holder }, context) => this.#credentials(holder, context),
      renewals: (_request, { signal }) => this.#renewals(signal),
      debugKubeconfig: async (request, { source, signal }) => {
        allow(source, 'debugKubeconfig', ['debug']);
        return this.#debugCredentials.kubeconfig(() => this.#readyNow(), request, signal);
      },
      debugClient: async (request, { source, signal }) => {
        allow(source, 'debugClient', ['debug']);
        return this.#debugCredentials.client(this.#readyNow(), request, signal);
      },
      issued: ({ last }, { source }) => {
        allow(source, 'issued', ['debug']);
        return { credentials: this.#audit.last(last) };
      },
      list: () => {
        const pki = this.#readyNow();
        const certificates = listCertificates(pki, this.#facts, this.#lifetimes.renewAfterShare);
        const secretsKey = describeKey(pki.encryption, this.#lifetimes.secretsKeyMs);
        return { certificates, rotation: rotationStatus(pki), secretsKey };
      },
      encryption: async (_request, context) => this.#encryption(context),
      delivered: ({ revision }, { source }) => {
        allow(source, 'delivered', ['kubelet']);
        this.#rotation.deliver(revision);
        return {};
      },
      rotate: async (_request, context) => this.#rotate(context),
      authorities: async (_request, { signal }) => this.#authorities(signal),
    };
  }

  set state(state: PkiState) {
    this.#state = state;
    if (state.kind === 'ready') {
      this.#revision++;
      this.#rotation.publish(this.#revision, state.pki);
    }
    this.#changes.emit('change');
  }

  /** The state as the condition PKIReady. */
  get condition(): ConditionUpdate {
    const state = this.#state;
    switch (state.kind) {
      case 'waiting':
        return { name: 'PKIReady', status: 'false', reason: state.reason, message: state.message };
      case 'refused':
        return { name: 'PKIReady', status: 'false', reason: 'Refused', message: messageOf(state.error) };
      case 'ready':
        return { name: 'PKIReady', status: 'true', reason: '', message: 'every certificate is issued' };
      default:
        return state satisfies never;
    }
  }

  async #credentials(holder: Holder, { source, signal }: CallContext) {
    // Whoever holds these is the cluster's master.
    allow(source, 'credentials', holder === 'debug' ? ['debug'] : ['kubelet', 'reconciler']);
    const places = { apiserverPort: this.#apiserverPort, secretsFolder: this.#secretsFolder };
    return { files: credentialFiles(await this.#ready(signal), holder, places) };
  }

  async #encryption({ source, signal }: CallContext) {
    allow(source, 'encryption', ['reconciler']);
    const { encryption } = await this.#ready(signal);
    const progress = isPending(encryption) ? await this.#checkSecrets(encryption, signal) : 'done';
    return { progress } as const;
  }

  async #rotate({ source, signal }: CallContext) {
    allow(source, 'rotate', ['debug']);
    let pki = this.#readyNow();
    if (pki.rotation === undefined) this.#rotation.request();
    while (pki.rotation === undefined) {
      await once(this.#changes, 'change', { signal });
      pki = this.#readyNow();
    }
    return rotationStatus(pki);
  }

  async *#renewals(signal: AbortSignal): AsyncGenerator<Renewal, void> {
    while (!signal.aborted) {
      const { rotation, encryption } = await this.#readyWithin(signal);
      const revision = this.#revision;
      const overdue = isOverdue(encryption, this.#now(), this.#lifetimes.secretsKeyMs);
      yield { revision, thorough: rotation !== undefined && rotation.phase !== 'settling', overdue };
      using limit = deadline(reminderMs, signal);
      while (this.#revision === revision && !limit.signal.aborted) {
        await once(this.#changes, 'change', { signal: limit.signal }).catch(() => undefined);
      }
    }
  }

  #readyNow(): Pki {
    const state = this.#state;
    if (state.kind !== 'ready') throw unready(state);
    return state.pki;
  }

  async #authorities(signal: AbortSignal) {
    const { authorities } = await this.#ready(signal);
    return {
      authorities: authorityNames.map((name) => ({
        name,
        sha256: fingerprint(authorities[name].certificate),
        notAfterMs: notAfterMs(authorities[name].certificate),
      })),
    };
  }

  /** Waits for the PKI; throws UNAVAILABLE with what is missing when the caller goes away or the wait gets long. */
  async #ready(signal: AbortSignal): Promise<Pki> {
    const late = new AbortController();
    const leftMs = deadlineOf(signal) - performance.now();
    const waitMs = leftMs - Math.min(Math.max(leftMs / 10, answerMarginMs.least), answerMarginMs.most);
    const timer = waitMs === Infinity ? undefined : setTimeout(() => late.abort(), Math.max(0, waitMs));
    try {
      return await this.#readyWithin(AbortSignal.any([signal, late.signal]));
    } finally {
      clearTimeout(timer);
    }
  }

  async #readyWithin(signal: AbortSignal): Promise<Pki> {
    for (;;) {
      const state = this.#state;
      if (state.kind === 'ready') return state.pki;
      if (state.kind === 'refused') throw unready(state);
      try {
        await once(this.#changes, 'change', { signal });
      } catch (error) {
        throw unready(state, error);
      }
    }
  }
}

function rotationStatus({ rotation }: Pki) {
  return { phase: rotation?.phase ?? 'none', message: describeRotation(rotation) } as const;
}

/** SHA-256 of the certificate's DER, in hex. */
function fingerprint(certificate: X509Certificate): string {
  return createHash('sha256').update(certificate.raw).digest('hex');
}

function allow(source: string, method: string, callers: readonly WorkerName[]): void {
  if (callers.some((caller) => caller === source)) return;
  throw new HamletError('PERMISSION_DENIED', `certs.${method} is not for ${source}`);
}

function unready(state: Exclude<PkiState, { kind: 'ready' }>, cause?: unknown): HamletError {
  if (state.kind === 'refused') return state.error;
  return new HamletError('UNAVAILABLE', `there is no PKI yet: ${state.message}`, { cause });
}
