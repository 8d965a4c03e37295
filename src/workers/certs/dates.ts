import type { X509Certificate } from 'node:crypto';
import { backdatedMs } from './profiles.js';

/** No clock was right before this, because there was no Hamlet: the first of January 2026. */
export const earliestMs = Date.UTC(2026, 0, 1);

/** Milliseconds since the epoch; Node 20 has only the text ("Nov 23 12:54:18 2026 GMT"). */
export function notBeforeMs(certificate: X509Certificate): number {
  return Date.parse(certificate.validFrom);
}

export function notAfterMs(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}

/** Whether a certificate is not valid yet: the clock is behind, or was ahead when it was issued. */
export function isEarly(certificate: X509Certificate, nowMs: number): boolean {
  return nowMs < notBeforeMs(certificate);
}

/** Whether a certificate ends later than one that is issued now, by more than clocks differ. */
export function isTooLong(certificate: X509Certificate, nowMs: number, lifetimeMs: number): boolean {
  return notAfterMs(certificate) > nowMs + lifetimeMs + backdatedMs;
}

/**
 * Why an authority has to be replaced, with everything that it issued; undefined if it has not. One that has expired
 * and is older than Hamlet was issued before the clock was ever set. One that is not valid yet may have been issued by
 * a clock that was ahead, or the clock may be behind now, as at a boot before NTP: it has to be `surelyEarly`.
 */
export function whyReplaced(
  certificate: X509Certificate,
  nowMs: number,
  surelyEarly: boolean,
): string | undefined {
  if (nowMs < earliestMs) return undefined;
  if (nowMs >= notAfterMs(certificate) && notBeforeMs(certificate) < earliestMs) {
    return 'the clock had not been set when the authorities were issued';
  }
  if (surelyEarly && isEarly(certificate, nowMs)) {
    return 'the clock was ahead when the authorities were issued';
  }
  return undefined;
}
