import type { X509Certificate } from 'node:crypto';
import type { Logger } from 'pino';
import type { ConditionUpdate } from '../../ipc/services/host.js';
import { messageOf } from '../../lib/errors.js';
import type { Lifetimes } from '../../platform/lifetimes.js';
import { earliestMs, isEarly, notAfterMs, notBeforeMs } from './dates.js';
import type { Pki } from './pki.js';
import {
  authorityNames,
  leafNames,
  leafProfiles,
  predecessorOf,
  successorOf,
  type LeafName,
  type NodeFacts,
} from './profiles.js';
import { encryptionDueMs } from './encryption.js';
import { isMisdated, renewalMs } from './stale.js';
import type { RotationControl } from './rotation-control.js';
import { describeRotation, nextStep } from './rotation.js';

/** A timer follows the monotonic clock and certificates the wall clock, which may be set: it is looked at so often. */
const defaultLookMs = 30_000;
/** While a rotation is under way, which goes by what others have done. */
const rotationLookMs = 2_000;
/** Between two tries to renew. */
const retryMs = 5_000;
/** NTP has set a clock long before that, if it ever does. */
const defaultClockPatienceMs = 600_000;
/** An authority that ends within this time makes the condition false: whoever reads it needs time to act. */
const authorityNoticeMs = 90 * 86_400_000;
/** Restarts one after the other take less; the leaf that lives shortest ends six minutes after its renewal is due. */
const deliveryPatienceMs = 5 * 60_000;

export interface RenewalOptions {
  readonly facts: NodeFacts;
  readonly lifetimes: Pick<Lifetimes, 'leafMs' | 'renewAfterShare' | 'secretsKeyMs'>;
  readonly rotation: RotationControl;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** Issues what is due, goes a step of a rotation that is due, and gives the PKI as it is then. */
  readonly renew: (signal: AbortSignal, surelyEarly: boolean) => Promise<Pki>;
  readonly onPki: (pki: Pki) => void;
  readonly onCondition: (condition: ConditionUpdate) => void;
  readonly log: Pick<Logger, 'error'>;
  readonly lookMs?: number;
  /** How long the clock may say that the authorities are not valid yet before it is believed. */
  readonly clockPatienceMs?: number;
  /** Monotonic, in milliseconds. */
  readonly ticks?: () => number;
  readonly signal: AbortSignal;
}

/**
 * Renews leaves and carries out rotations for as long as the node runs, and says how the certificates are. A renewal that fails is tried again;
 * what was there goes on being used meanwhile. Throws the signal's reason.
 */
export async function keepRenewed(first: Pki, options: RenewalOptions): Promise<never> {
  const {
    facts,
    lifetimes,
    rotation,
    now,
    renew,
    onPki,
    onCondition,
    log,
    signal,
    lookMs = defaultLookMs,
    clockPatienceMs = defaultClockPatienceMs,
    ticks = () => performance.now(),
  } = options;
  let pki = first;
  let earlySinceMs: number | undefined;
  let problem: string | undefined;
  for (;;) {
    const next = nextRenewal(pki, facts, lifetimes.renewAfterShare);
    earlySinceMs = mayBeEarly(pki, now()) ? (earlySinceMs ?? ticks()) : undefined;
    const surelyEarly = earlySinceMs !== undefined && ticks() - earlySinceMs >= clockPatienceMs;
    const dueMs = Math.min(next.atMs, encryptionDueMs(pki.encryption, lifetimes.secretsKeyMs));
    const isDue = (): boolean =>
      surelyEarly || now() >= dueMs || isMisdated(pki, facts, now(), lifetimes.leafMs);
    onCondition(validity(pki, next, now(), problem, rotation.undeliveredMs));
    onCondition(authoritiesSettled(pki));
    // What failed is tried again until it succeeds, even if nothing is due by then: only that shows that all is well.
    const failed = problem !== undefined;
    const waitMs = failed || isDue() ? 0 : dueMs - now();
    const leastMs = failed ? Math.min(retryMs, lookMs) : 0;
    const mostMs = pki.rotation === undefined ? lookMs : Math.min(rotationLookMs, lookMs);
    await rotation.sleep(Math.max(leastMs, Math.min(mostMs, waitMs)), signal);
    const step = nextStep(pki.rotation, { nowMs: now(), ...rotation.facts });
    const look = rotation.takeLook();
    if (!failed && !look && !isDue() && step === undefined) continue;
    // What a clock has left is told before it is mended.
    onCondition(validity(pki, next, now(), problem, rotation.undeliveredMs));
    try {
      pki = await renew(signal, surelyEarly);
      problem = undefined;
      onPki(pki);
    } catch (error) {
      signal.throwIfAborted();
      const message = messageOf(error);
      // Once, and not every five seconds.
      if (message !== problem) log.error({ err: error }, 'certificates could not be renewed, trying again');
      problem = message;
    }
  }
}

/** Whether an authority is not valid yet by a clock that may be right. */
function mayBeEarly(pki: Pki, nowMs: number): boolean {
  if (nowMs < earliestMs) return false;
  return authorityNames.some((name) => isEarly(pki.authorities[name].certificate, nowMs));
}

export interface NextRenewal {
  readonly name: LeafName;
  readonly atMs: number;
}

/** Which leaf is to be renewed next, and when. */
export function nextRenewal(pki: Pki, facts: NodeFacts, renewAfterShare: number): NextRenewal {
  const profiles = leafProfiles(facts);
  const renewals = leafNames.map((name) => {
    const issuer = pki.authorities[profiles[name].issuer].certificate;
    return { name, atMs: renewalMs(pki.leaves[name].certificate, issuer, renewAfterShare) };
  });
  return renewals.reduce((first, other) => (other.atMs < first.atMs ? other : first));
}

/**
 * The condition CertificatesValid: false while a certificate is not valid, and before that when one is going to end
 * that nobody renews, or whose successor has not reached the components for `undeliveredMs`.
 */
export function validity(
  pki: Pki,
  next: NextRenewal,
  nowMs: number,
  problem: string | undefined,
  undeliveredMs = 0,
): ConditionUpdate {
  const all: [string, X509Certificate][] = [
    ...authorityNames.flatMap((name): [string, X509Certificate][] => {
      const predecessor = pki.predecessors[name];
      return [
        [name, pki.authorities[name].certificate],
        [successorOf(name), pki.successors[name].certificate],
        ...(predecessor === undefined
          ? []
          : ([[predecessorOf(name), predecessor]] satisfies [string, X509Certificate][])),
      ];
    }),
    ...leafNames.map((name): [string, X509Certificate] => [name, pki.leaves[name].certificate]),
  ];
  const early = all.find(([, certificate]) => isEarly(certificate, nowMs));
  if (early !== undefined) {
    const [name, { validFrom }] = early;
    if (authorityNames.some((authority) => isEarly(pki.authorities[authority].certificate, nowMs))) {
      const or =
        nowMs < earliestMs ? '' : ', or else everything is issued anew when it has stayed so for minutes';
      return bad(
        'ClockBehind',
        `${name} is valid from ${validFrom} on and the clock is behind that; set the clock${or}`,
      );
    }
    return bad(
      'ClockWasAhead',
      `${name} is valid from ${validFrom} on: the clock was ahead when it was issued; it is issued anew`,
    );
  }
  const expired = all.find(([, certificate]) => nowMs >= notAfterMs(certificate));
  if (expired !== undefined) {
    const [name, { validTo }] = expired;
    return bad('Expired', `${name} expired on ${validTo}${problem === undefined ? '' : `: ${problem}`}`);
  }
  if (problem !== undefined) {
    const { validTo } = pki.leaves[next.name].certificate;
    return bad('RenewalFailed', `${next.name} ends on ${validTo} and cannot be renewed: ${problem}`);
  }
  if (undeliveredMs > deliveryPatienceMs) {
    const minutes = deliveryPatienceMs / 60_000;
    return bad(
      'NotDelivered',
      `components have been without certificates that were issued more than ${minutes} minutes ago; ` +
        'the log of hamlet.kubelet says which and why',
    );
  }
  for (const name of authorityNames) {
    const { certificate } = pki.authorities[name];
    const lifeMs = notAfterMs(certificate) - notBeforeMs(certificate);
    // A short-lived authority gets a share of its life instead.
    if (notAfterMs(certificate) - nowMs < Math.min(authorityNoticeMs, lifeMs / 5)) {
      return bad(
        'AuthorityExpiring',
        `${name} ends on ${certificate.validTo}, and all that it issued with it; "hamlet pki rotate-ca" replaces it`,
      );
    }
  }
  const when = Number.isFinite(next.atMs) ? new Date(next.atMs).toISOString() : 'never';
  const message = `${all.length} certificates; ${next.name} is the next to be renewed, on ${when}`;
  return { name: 'CertificatesValid', status: 'true', reason: '', message };
}

/** The condition AuthoritiesSettled: false while a rotation is under way. */
export function authoritiesSettled({ rotation }: Pki): ConditionUpdate {
  const name = 'AuthoritiesSettled';
  const message = describeRotation(rotation);
  if (rotation === undefined) return { name, status: 'true', reason: '', message };
  const reasons = { trusting: 'Trusting', settling: 'Settling', replaced: 'Replaced' } as const;
  return { name, status: 'false', reason: reasons[rotation.phase], message };
}

function bad(reason: string, message: string): ConditionUpdate {
  return { name: 'CertificatesValid', status: 'false', reason, message };
}
