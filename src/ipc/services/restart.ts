import * as v from 'valibot';
import { count, name, positive } from './fields.js';

const time = v.nullable(v.number());

/** The fields of supervision's Restart, and what else is found out about one. */
export const restartFields = v.strictObject({
  name,
  run: count,
  pid: count,
  atMs: v.number(),
  kind: v.picklist([
    'exited',
    'killed',
    'out-of-memory',
    'program-missing',
    'not-executable',
    'wrong-architecture',
    'shortage',
    'exec-failed',
    'probe-failed',
    'start-timeout',
    'lost',
    'outdated',
    'error',
  ]),
  code: v.nullable(v.number()),
  signal: v.nullable(v.string()),
  message: v.string(),
  waitedFor: v.array(v.string()),
  nextTryMs: time,
  executedMs: time,
  healthyMs: time,
  /** The last lines that the ended run wrote, oldest first. */
  lastLines: v.array(v.string()),
  /** The restart that brought this one about, as far as that is known. */
  causeId: v.nullable(positive),
});
export type RestartFields = v.InferOutput<typeof restartFields>;

/** A restart as the history has it. The number counts up and never repeats on a node. */
export const restart = v.strictObject({ id: positive, ...restartFields.entries });
export type Restart = v.InferOutput<typeof restart>;

/** With the names of what it brought to its end. */
export const listedRestart = v.strictObject({ ...restart.entries, tookWith: v.array(v.string()) });
export type ListedRestart = v.InferOutput<typeof listedRestart>;
