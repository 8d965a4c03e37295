import * as v from 'valibot';
import { service, stream, unary } from '../contract.js';
import { bytes, count, empty, name, positive } from './fields.js';

/** One line as the component wrote it, without its newline. */
export const logLine = v.strictObject({
  /** The component's dotted name. */
  component: name,
  /** Counts up by one for each line of this component and never repeats on a node. */
  sequence: count,
  /** Wall clock of its arrival, milliseconds since the epoch. */
  atMs: v.number(),
  /** The component's start that wrote it, from 1. */
  run: count,
  source: v.picklist(['stdout', 'stderr']),
  /** At most 16,384 bytes; a longer line is cut and ends in "...". */
  data: bytes,
});
export type LogLine = v.InferOutput<typeof logLine>;

export const logs = service('logs', {
  /** The last `lines` lines of one component, oldest first; 0 = the whole ring. NOT_FOUND names what exists. */
  tail: stream(
    v.strictObject({ component: name, lines: count }),
    v.strictObject({ lines: v.array(logLine) }),
    {
      idempotent: true,
    },
  ),
  /** What each ring holds and has held. */
  stats: unary(
    empty,
    v.strictObject({
      rings: v.array(
        v.strictObject({
          component: name,
          /** Lines held now, and ever written. */
          lines: count,
          written: count,
          /** Bytes of memory that the ring has claimed. */
          bytes: positive,
        }),
      ),
    }),
    { deadlineMs: 1_000, idempotent: true },
  ),
});
