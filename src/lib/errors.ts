import { inspect } from 'node:util';

/**
 * The codes an error may carry: gRPC's names, so that an error keeps its code from the place where it
 * happened through the mesh to a debug client (https://grpc.io/docs/guides/status-codes/).
 */
export const errorCodes = [
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** Facts about an error that a program can read; whatever msgpack can carry. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | readonly string[]>>;

export interface HamletErrorOptions {
  readonly cause?: unknown;
  readonly details?: ErrorDetails;
}

/** The one error class of the project: a code for programs, a message for people, the cause for both. */
export class HamletError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: HamletErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HamletError';
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** Whether `error` is a HamletError, of the given code if one is given. */
export function isHamletError(error: unknown, code?: ErrorCode): error is HamletError {
  return error instanceof HamletError && (code === undefined || error.code === code);
}

/** The code of any thrown value; what is not a HamletError is INTERNAL, an abort CANCELLED. */
export function codeOf(error: unknown): ErrorCode {
  if (error instanceof HamletError) return error.code;
  if (error instanceof Error && error.name === 'AbortError') return 'CANCELLED';
  if (error instanceof Error && error.name === 'TimeoutError') return 'DEADLINE_EXCEEDED';
  return 'INTERNAL';
}

/** How deep a chain of causes is told. */
const maxCauses = 8;

/** The message of any thrown value, followed by those of its causes: "a: b: c". */
export function messageOf(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  // A chain of causes may be a circle.
  for (let depth = 0; depth < maxCauses && current !== undefined && current !== null; depth++) {
    const message = current instanceof Error ? current.message || current.name : inspect(current);
    if (message !== '' && !parts.some((part) => part.includes(message))) parts.push(message);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(': ') || 'unknown error';
}

/** The errno name of a system error ("ENOENT"), or undefined for anything else. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' && /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined;
}
