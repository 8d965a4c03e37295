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
  /** The start that wrote it, of the component or of Hamlet's thread, from 1. */
  run: count,
  source: v.picklist(['stdout', 'stderr']),
  /** At most 16,384 bytes; a longer line is cut and ends in "...". */
  data: bytes,
});
export type LogLine = v.InferOutput<typeof logLine>;

/** From the least to the most severe. */
export const severities = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type Severity = (typeof severities)[number];

/** A line with what could be read from it. */
const lineRecord = v.strictObject({
  kind: v.literal('line'),
  ...logLine.entries,
  /** The moment of its arrival on the machine's monotonic clock, microseconds; that clock begins anew with the machine. */
  monotonicUs: count,
  /** Its length before it was cut; data.length where it was not. */
  trueBytes: count,
  /** Null where the line does not say. */
  severity: v.nullable(v.picklist(severities)),
  /** When it was written, by its own account, milliseconds since the epoch; null where it does not say. */
  writtenAtMs: v.nullable(v.number()),
  /** The place in the source that wrote it, "reflector.go:178"; empty where the line does not say. */
  place: v.string(),
  /** What it tells about, where it tells a change of state or an action: a component, or an object of the cluster. */
  subject: v.string(),
});
export type LineRecord = v.InferOutput<typeof lineRecord>;

/** Lines that are not there any more: numbers `from` up to, not including, `to`. */
const gapRecord = v.strictObject({
  kind: v.literal('gap'),
  component: name,
  from: count,
  to: count,
  /** How many; null when Hamlet was killed in between, for then nobody knows. */
  lines: v.nullable(count),
});
export type GapRecord = v.InferOutput<typeof gapRecord>;

export type LogRecord = LineRecord | GapRecord;

/** Where a reader is in one log: the number of the line that it wants next. */
export const logPosition = v.strictObject({ component: name, next: count });
export type LogPosition = v.InferOutput<typeof logPosition>;

/** Longer than any expression that somebody types. */
const maxPatternChars = 1_024;
const pattern = v.nullable(v.pipe(v.string(), v.nonEmpty(), v.maxLength(maxPatternChars)));

export const followRequest = v.strictObject({
  /**
   * Names of logs, each exactly as it is; a name that only others begin with ("kube") stands for all below it, and so
   * does one that ends in ".*" ("hamlet.*"). Below means behind a dot: "kube" has nothing to do with "kubelet".
   */
  components: v.pipe(v.array(name), v.minLength(1), v.maxLength(64)),
  /** Whether to go on with what is written from now on. */
  follow: v.boolean(),
  /**
   * Begin with the last so many of the lines wanted, in memory or on disk. Null for all in memory, and with `sinceMs` or
   * `run` for all on disk too.
   */
  tail: v.nullable(count),
  /** Begin here in these logs, whatever `tail` says. */
  positions: v.pipe(v.array(logPosition), v.maxLength(64)),
  /** End before these lines. */
  ends: v.pipe(v.array(logPosition), v.maxLength(64)),
  /** Only what arrived from, and up to and with, these times, milliseconds since the epoch. */
  sinceMs: v.nullable(v.number()),
  untilMs: v.nullable(v.number()),
  /** Only what is at least so severe; lines that do not say count as "info". */
  minSeverity: v.nullable(v.picklist(severities)),
  /** Only lines that contain this. */
  text: pattern,
  /** Only lines that this regular expression matches; it may have no lookaround and no backreference. */
  pattern,
  /** Only lines of this run, or of the run before the latest one. */
  run: v.nullable(v.union([positive, v.literal('previous')])),
  /** Also the records of other logs that tell about the components asked for. */
  events: v.boolean(),
});
export type FollowRequest = v.InferOutput<typeof followRequest>;

export const logBatch = v.strictObject({
  records: v.array(v.variant('kind', [lineRecord, gapRecord])),
  /** Where the reader is now, for each log that has moved on by more than the records tell. */
  positions: v.array(logPosition),
});
export type LogBatch = v.InferOutput<typeof logBatch>;

/**
 * What a follower may have on its way, beside the batch that takes it there: together 48 KiB, so that a thousand who do
 * not read take less than what the router keeps for one destination (64 MiB).
 */
const followWindowBytes = 32 * 1024;

export const logs = service('logs', {
  /** The last `lines` lines of one component, oldest first; 0 = the whole ring. NOT_FOUND names what exists. */
  tail: stream(
    v.strictObject({ component: name, lines: count }),
    v.strictObject({ lines: v.array(logLine) }),
    {
      idempotent: true,
    },
  ),
  /**
   * Lines of several logs in the order of their arrival: what is held, then what comes. Nothing is twice or missing
   * between the two; what was overwritten before this reader got to it is a gap. The first item says where the reader
   * begins. Whoever goes on from the positions after a lost connection misses nothing either.
   * NOT_FOUND names what exists; INVALID_ARGUMENT for an expression that cannot be used.
   */
  follow: stream(followRequest, logBatch, { windowBytes: followWindowBytes }),
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
