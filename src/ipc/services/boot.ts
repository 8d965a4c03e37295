import * as v from 'valibot';
import { name } from './fields.js';

const time = v.nullable(v.number());

/** One thing that a step waited for. Times as in the step itself. */
export const bootWait = v.strictObject({
  name,
  sinceMs: v.number(),
  /** When it waited no more; null while it does. */
  untilMs: time,
});
export type BootWait = v.InferOutput<typeof bootWait>;

/** A step of the node's start. All times are milliseconds since Hamlet's exec. */
export const bootStep = v.strictObject({
  /** A component, a part of Hamlet, or a condition. */
  name,
  /** What has to be done before it. */
  waits: v.pipe(v.array(bootWait), v.readonly()),
  /** When it was first spoken of: from then on it waited. */
  seenMs: v.number(),
  /** When something was done about it: a component's credentials and configuration are prepared from here on. */
  beganMs: time,
  /** When its program was executed; null for what is no program. */
  executedMs: time,
  /** When it held: for a component its first good probe. */
  doneMs: time,
});
export type BootStep = v.InferOutput<typeof bootStep>;

/** The start of the node, and what took its time. */
export const boot = v.strictObject({
  steps: v.array(bootStep),
  /** The steps on which the others had to wait, first to last. */
  criticalPath: v.array(v.string()),
  nowMs: v.number(),
});
export type Boot = v.InferOutput<typeof boot>;
