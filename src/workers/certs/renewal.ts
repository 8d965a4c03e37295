import type { X509Certificate } from 'node:crypto';
import type { Logger } from 'pino';
import type { ConditionUpdate } from '../../ipc/services/host.js';
import { messageOf } from '../../lib/errors.js';
import { sleep } from '../../lib/time.js';
import { notAfterMs, notBeforeMs, renewalMs, type Pki } from './pki.js';
import { authorityNames, leafNames, leafProfiles, type LeafName, type NodeFacts } from './profiles.js';

/** A timer follows the monotonic clock and certificates the wall clock, which may be set: it is looked at so often. */
const defaultLookMs = 30_000;
/** Between two tries to renew. */
const retryMs = 5_000;
/** An authority that ends within this time makes the condition false: whoever reads it needs time to act. */
const authorityNoticeMs = 90 * 86_400_000;

export interface RenewalOptions {
  readonly facts: NodeFacts;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** Issues what is due and gives the PKI as it is then. */
  readonly renew: (signal: AbortSignal) => Promise<Pki>;
  readonly onPki: (pki: Pki) => void;
  readonly onCondition: (condition: ConditionUpdate) => void;
  readonly log: Pick<Logger, 'error'>;
  readonly lookMs?: number;
  readonly signal: AbortSignal;
}

/**
 * Renews leaves for as long as the node runs, and says how the certificates are. A renewal that fails is tried again;
 * what was there goes on being used meanwhile. Throws the signal's reason.
 */
export async function keepRenewed(first: Pki, options: RenewalOptions): Promise<never> {
  const { facts, now, renew, onPki, onCondition, log, signal, lookMs = defaultLookMs } = options;
  let pki = first;
  let problem: string | undefined;
  for (;;) {
    onCondition(validity(pki, facts, now(), problem));
    const waitMs = nextRenewal(pki, facts).atMs - now();
    const leastMs = problem === undefined ? 0 : Math.min(retryMs, lookMs);
    await sleep(Math.min(lookMs, Math.max(leastMs, waitMs)), signal);
    if (now() < nextRenewal(pki, facts).atMs) continue;
    try {
      pki = await renew(signal);
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

/** Which leaf is to be renewed next, and when. */
export function nextRenewal(pki: Pki, facts: NodeFacts): { readonly name: LeafName; readonly atMs: number } {
  const profiles = leafProfiles(facts);
  const renewals = leafNames.map((name) => {
    const issuer = pki.authorities[profiles[name].issuer].certificate;
    return { name, atMs: renewalMs(pki.leaves[name].certificate, issuer) };
  });
  return renewals.reduce((first, other) => (other.atMs < first.atMs ? other : first));
}

/**
 * The condition CertificatesValid: false while a certificate is not valid, and before that when one is going to end
 * that nobody renews.
 */
export function validity(
  pki: Pki,
  facts: NodeFacts,
  nowMs: number,
  problem: string | undefined,
): ConditionUpdate {
  const all: [string, X509Certificate][] = [
    ...authorityNames.map((name): [string, X509Certificate] => [name, pki.authorities[name].certificate]),
    ...leafNames.map((name): [string, X509Certificate] => [name, pki.leaves[name].certificate]),
  ];
  const early = all.find(([, certificate]) => nowMs < notBeforeMs(certificate));
  if (early !== undefined) {
    const [name, { validFrom }] = early;
    return bad(
      'ClockBehind',
      `${name} is valid from ${validFrom} on and the clock is behind that; set the clock`,
    );
  }
  const expired = all.find(([, certificate]) => nowMs >= notAfterMs(certificate));
  if (expired !== undefined) {
    const [name, { validTo }] = expired;
    return bad('Expired', `${name} expired on ${validTo}${problem === undefined ? '' : `: ${problem}`}`);
  }
  const next = nextRenewal(pki, facts);
  if (problem !== undefined) {
    const { validTo } = pki.leaves[next.name].certificate;
    return bad('RenewalFailed', `${next.name} ends on ${validTo} and cannot be renewed: ${problem}`);
  }
  for (const name of authorityNames) {
    const { certificate } = pki.authorities[name];
    const lifeMs = notAfterMs(certificate) - notBeforeMs(certificate);
    // A short-lived authority gets a share of its life instead.
    if (notAfterMs(certificate) - nowMs < Math.min(authorityNoticeMs, lifeMs / 5)) {
      return bad(
        'AuthorityExpiring',
        `${name} ends on ${certificate.validTo}, and all that it issued with it`,
      );
    }
  }
  const when = Number.isFinite(next.atMs) ? new Date(next.atMs).toISOString() : 'never';
  const message = `${all.length} certificates; ${next.name} is the next to be renewed, on ${when}`;
  return { name: 'CertificatesValid', status: 'true', reason: '', message };
}

function bad(reason: string, message: string): ConditionUpdate {
  return { name: 'CertificatesValid', status: 'false', reason, message };
}
