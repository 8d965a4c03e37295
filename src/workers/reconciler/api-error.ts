import { HamletError, type ErrorCode } from '../../lib/errors.js';

/** What the API server answers when it refuses something; `metav1.Status` of Kubernetes' API conventions. */
export interface Status {
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
}

/**
 * The error for a refusal: its code from the HTTP status, the server's own words as message, its reason ("Expired",
 * "Forbidden") and the HTTP status in the details.
 */
export function apiError(what: string, status: Status): HamletError {
  const { code: httpStatus = 500, reason = '', message = 'no reason given' } = status;
  return new HamletError(codeFor(httpStatus, reason), `${what}: ${message}`, {
    details: { httpStatus, reason },
  });
}

function codeFor(httpStatus: number, reason: string): ErrorCode {
  switch (httpStatus) {
    case 400:
    case 422:
      return 'INVALID_ARGUMENT';
    case 401:
      return 'UNAUTHENTICATED';
    case 403:
      return 'PERMISSION_DENIED';
    case 404:
      return 'NOT_FOUND';
    case 409:
      return reason === 'AlreadyExists' ? 'ALREADY_EXISTS' : 'ABORTED';
    case 410:
      return 'OUT_OF_RANGE';
    case 429:
      return 'RESOURCE_EXHAUSTED';
    case 504:
      return 'DEADLINE_EXCEEDED';
    default:
      return httpStatus >= 500 ? 'UNAVAILABLE' : 'UNKNOWN';
  }
}
