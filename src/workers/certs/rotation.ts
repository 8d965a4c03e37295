import * as v from 'valibot';
import type { Rereads } from '../../platform/components.js';
import { backdatedMs } from './profiles.js';

/**
 * How far a rotation of the authorities is; the record lies in etcd, and each step is one transaction.
 * `trusting`: everybody is made to trust the successors, who sign nothing yet.
 * `settling`: they sign, every leaf is theirs, and what their predecessors issued is taken until `untilMs`.
 * `replaced`: no rotation, but every certificate was issued anew at once, because a wrong clock had issued the old ones.
 */
const rotation = v.variant('phase', [
  v.strictObject({ phase: v.literal('trusting'), sinceMs: v.number() }),
  v.strictObject({ phase: v.literal('settling'), sinceMs: v.number(), untilMs: v.number() }),
  v.strictObject({ phase: v.literal('replaced'), sinceMs: v.number() }),
]);
export type Rotation = v.InferOutput<typeof rotation>;

/** When a client has read its new certificate, it has yet to make its last request with the old one. */
const lastRequestMs = 30_000;

/** How long after they begin to sign the old ones are trusted at least, in milliseconds. */
export function settlingMs({ clientsMs }: Rereads): number {
  return clientsMs + lastRequestMs;
}

/** What is known beside the record. Wall clock, milliseconds since the epoch. */
export interface RotationFacts {
  readonly nowMs: number;
  /** Somebody wants a rotation. */
  readonly asked: boolean;
  /** Whether everybody has, and has read, what the PKI has held since it was last changed. */
  readonly delivered: boolean;
}

export type RotationStep = 'begin' | 'switch' | 'settle' | 'finish';

/** What is to be done now, if anything. A rotation that is under way is the one that was asked for. */
export function nextStep(
  current: Rotation | undefined,
  { nowMs, asked, delivered }: RotationFacts,
): RotationStep | undefined {
  if (current === undefined) return asked ? 'begin' : undefined;
  switch (current.phase) {
    case 'trusting':
      return delivered ? 'switch' : undefined;
    case 'settling':
      // The clock was ahead when they began to sign: nobody knows until when, so it is counted from now on.
      if (nowMs < current.sinceMs - backdatedMs) return 'settle';
      return delivered && nowMs >= current.untilMs ? 'finish' : undefined;
    case 'replaced':
      return delivered ? 'finish' : undefined;
    default:
      return current satisfies never;
  }
}

/** Throws for anything but a record that recordOf() made. */
export function parseRotation(record: Uint8Array): Rotation {
  return v.parse(rotation, JSON.parse(Buffer.from(record).toString('utf8')));
}

export function recordOf(current: Rotation): Uint8Array {
  return Buffer.from(JSON.stringify(current));
}

/** One sentence for people. */
export function describeRotation(current: Rotation | undefined): string {
  if (current === undefined) return 'no rotation of the authorities is under way';
  const since = new Date(current.sinceMs).toISOString();
  switch (current.phase) {
    case 'trusting':
      return `since ${since} every component is made to trust the new authorities`;
    case 'settling':
      return (
        `the new authorities sign since ${since}; ` +
        `the old ones are trusted until ${new Date(current.untilMs).toISOString()}`
      );
    case 'replaced':
      return `since ${since} every component is given new authorities, because a wrong clock had issued the old ones`;
    default:
      return current satisfies never;
  }
}
