import * as v from 'valibot';
import { service, stream, unary } from '../contract.js';
import { boot } from './boot.js';
import { bytes, count, empty, name, positive } from './fields.js';
import { listedRestart, restartFields } from './restart.js';

/** A file that a component gets in a folder of its own on a ramfs, gone with the component. */
export const secretFile = v.strictObject({ name, data: bytes });

export const spawnRequest = v.strictObject({
  /** The component's dotted name; at most one child of a name runs at a time. */
  name,
  argv: v.pipe(v.array(v.string()), v.minLength(1)),
  env: v.record(v.string(), v.string()),
  cwd: v.string(),
  secrets: v.array(secretFile),
  /** Files that one that was killed leaves and the next one cannot take: gone before each start. */
  stale: v.array(v.string()),
  /** By this the caller knows again what it has started: a digest of everything that a change of asks for a restart. */
  digest: v.string(),
});
export type SpawnRequest = v.InferOutput<typeof spawnRequest>;

/** How a process ended: an exit code, or the signal that ended it; neither where nobody could tell. */
export const exitStatus = v.strictObject({
  code: v.nullable(v.number()),
  signal: v.nullable(v.string()),
  /** Whether the kernel ended it because memory had run out. */
  outOfMemory: v.optional(v.boolean(), false),
  /** Wall clock, milliseconds since the epoch. */
  atMs: v.number(),
});
export type ExitStatus = v.InferOutput<typeof exitStatus>;

export const child = v.strictObject({
  name,
  pid: positive,
  /** Clock ticks since boot from /proc/PID/stat: with the pid it names one process for good. */
  startTicks: count,
  /** How often the component has been started in this state folder's life, from 1. */
  run: positive,
  startedAtMs: v.number(),
  /** As it was given when the child was started. */
  digest: v.string(),
  exit: v.nullable(exitStatus),
});
export type Child = v.InferOutput<typeof child>;

export const condition = v.strictObject({
  name,
  status: v.picklist(['true', 'false', 'unknown']),
  /** One CamelCase word for programs, empty while true. */
  reason: v.string(),
  /** A sentence for people: what is wrong or what is waited for. */
  message: v.string(),
  /** Wall clock of the last change of status, milliseconds since the epoch. */
  sinceMs: v.number(),
  /** Names of what it waits for, as far as that has names. */
  waitsFor: v.optional(v.array(v.string())),
});
export type Condition = v.InferOutput<typeof condition>;

export const conditionUpdate = v.strictObject({
  name,
  status: v.picklist(['true', 'false', 'unknown']),
  reason: v.string(),
  message: v.string(),
  waitsFor: v.optional(v.array(v.string())),
});
export type ConditionUpdate = v.InferOutput<typeof conditionUpdate>;

/** What only the main thread may do: processes, their secrets, and the board of conditions. */
export const host = service('host', {
  /** Starts a component. ALREADY_EXISTS while one of that name runs; NOT_FOUND, PERMISSION_DENIED when exec fails. */
  spawn: unary(spawnRequest, child, { deadlineMs: 10_000 }),
  /**
   * Holds a start in advance for as long as the call is open: when the component ends, but not by a signal of this
   * service, it is started again at once with the secrets that it has, and `children` tells both in one message. One
   * item says that the start is not held any more. NOT_FOUND when the component does not run; FAILED_PRECONDITION when it was not started as it is here.
   */
  standingStart: stream(spawnRequest, empty),
  /** Sends a signal to the component's whole process group; NOT_FOUND when it does not run. */
  signal: unary(
    v.strictObject({ name, signal: v.picklist(['SIGTERM', 'SIGKILL', 'SIGHUP', 'SIGCONT']) }),
    empty,
    {
      deadlineMs: 5_000,
    },
  ),
  /** Which of these files a component that runs has otherwise, or not; NOT_FOUND when it does not run or has none. */
  changedSecrets: unary(
    v.strictObject({ name, secrets: v.array(secretFile) }),
    v.strictObject({ changed: v.array(name) }),
    { deadlineMs: 5_000, idempotent: true },
  ),
  /** Replaces files on a running component's ramfs, each in one step; NOT_FOUND as above. */
  replaceSecrets: unary(v.strictObject({ name, secrets: v.array(secretFile) }), empty, {
    deadlineMs: 5_000,
    idempotent: true,
  }),
  /** Runs a short command to its end and gives back its output, cut to 64 KiB. */
  run: unary(
    v.strictObject({
      argv: v.pipe(v.array(v.string()), v.minLength(1)),
      env: v.record(v.string(), v.string()),
    }),
    v.strictObject({ code: v.nullable(v.number()), signal: v.nullable(v.string()), output: v.string() }),
    { deadlineMs: 120_000 },
  ),
  /**
   * The table of children as it is, as one snapshot, then each change: nothing is missed between the two. An end with
   * the start that had been asked for in advance is one change.
   */
  children: stream(empty, v.strictObject({ children: v.array(child), snapshot: v.boolean() })),
  /** Puts conditions on the board. */
  setConditions: unary(v.strictObject({ conditions: v.array(conditionUpdate) }), empty, {
    deadlineMs: 5_000,
    idempotent: true,
  }),
  /** NOT_FOUND with the names that exist for a name that nobody ever set or declared. */
  condition: unary(v.strictObject({ name }), condition, { deadlineMs: 5_000, idempotent: true }),
  /** The board as it is, as one snapshot, then each change. */
  conditions: stream(empty, v.strictObject({ conditions: v.array(condition), snapshot: v.boolean() })),
  /** Writes a restart into the node's history: a new one without a number, or what has become of one. */
  putRestart: unary(
    v.strictObject({ id: v.nullable(positive), restart: restartFields }),
    v.strictObject({ id: positive }),
    { deadlineMs: 5_000 },
  ),
  /** The steps of the node's start. */
  boot: unary(empty, boot, { deadlineMs: 5_000, idempotent: true }),
  /** The latest restarts, oldest first: of one name, or of all for an empty one. */
  restarts: unary(
    v.strictObject({ name: v.string(), last: count }),
    v.strictObject({ restarts: v.array(listedRestart) }),
    { deadlineMs: 5_000, idempotent: true },
  ),
  /** The words that start the node's own kubectl; UNAVAILABLE until the components have been found. */
  kubectl: unary(empty, v.strictObject({ command: v.array(v.string()) }), {
    deadlineMs: 5_000,
    idempotent: true,
  }),
});
