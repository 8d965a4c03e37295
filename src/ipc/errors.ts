import {
  codeOf,
  errorCodes,
  HamletError,
  messageOf,
  type ErrorCode,
  type ErrorDetails,
} from '../lib/errors.js';
import { decode } from './codec.js';
import { FLAG_MESH, type Frame } from './frame.js';

/** The body of an ERROR frame. */
export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details?: ErrorDetails;
}

/**
 * The mesh itself could not carry out the call: the worker is not there, died, or lets its callers wait too
 * long. Told apart from an error that a handler threw, because only these are worth trying again.
 */
export class MeshError extends HamletError {}

/** Whether the call may be sent again, if its method is idempotent. */
export function isRetryable(error: unknown): boolean {
  return error instanceof MeshError && error.code === 'UNAVAILABLE';
}

/** What crosses the mesh of anything thrown. */
export function toWire(error: unknown): WireError {
  const details = error instanceof HamletError ? error.details : {};
  const wire = { code: codeOf(error), message: messageOf(error) };
  return Object.keys(details).length === 0 ? wire : { ...wire, details };
}

function isCode(value: unknown): value is ErrorCode {
  return (errorCodes as readonly unknown[]).includes(value);
}

/** The error that an ERROR frame carries. Never throws: what cannot be read becomes INTERNAL. */
export function fromWire(frame: Frame): HamletError {
  let body: unknown;
  try {
    body = decode(frame);
  } catch (cause) {
    return new HamletError('INTERNAL', 'an error that cannot be read', { cause });
  }
  if (typeof body !== 'object' || body === null)
    return new HamletError('INTERNAL', 'an error without a body');
  const { code, message, details } = body as Record<string, unknown>;
  const options =
    typeof details === 'object' && details !== null ? { details: details as ErrorDetails } : undefined;
  const Class = (frame.flags & FLAG_MESH) === 0 ? HamletError : MeshError;
  return new Class(isCode(code) ? code : 'UNKNOWN', typeof message === 'string' ? message : '', options);
}
