import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import type { ConditionUpdate } from '../ipc/services/host.js';
import { messageOf } from '../lib/errors.js';
import type { Log } from '../lib/log.js';
import { formatDuration, sleep } from '../lib/time.js';
import type { ConditionBoard } from './conditions.js';

/** How often the machine is looked at, in milliseconds. */
const lookEveryMs = 5_000;

/** etcd takes so much at once for the next part of its log (wal.SegmentSizeBytes), and ends when it cannot. */
const minFreeBytes = 64_000_000;

/** NTP corrects less than this without a step; a step of a certificate's start is some minutes. */
const minStepMs = 2_000;

export interface MachineWatchOptions {
  readonly state: string;
  readonly board: ConditionBoard;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** 5,000 unless given. */
  readonly everyMs?: number;
  readonly wallMs?: () => number;
}

/**
 * Tells of what the machine does to the node until the signal is aborted: a state folder that is full or cannot be
 * written (DataAvailable), and steps of the wall clock.
 */
export async function watchMachine(options: MachineWatchOptions): Promise<void> {
  const { state, board, log, signal, everyMs = lookEveryMs, wallMs = Date.now } = options;
  let bootMs = wallMs() - performance.now();
  for (;;) {
    try {
      await sleep(everyMs, signal);
    } catch {
      return;
    }
    const update = await dataCondition(state);
    if (update.status !== board.get(update.name).status) {
      log[update.status === 'true' ? 'info' : 'error']({ reason: update.reason }, update.message);
    }
    board.set(update, wallMs());
    // Only a clock that is set moves the moment at which the other one began.
    const nowBootMs = wallMs() - performance.now();
    const stepMs = nowBootMs - bootMs;
    if (Math.abs(stepMs) < minStepMs) continue;
    bootMs = nowBootMs;
    const direction = stepMs > 0 ? 'forward' : 'back';
    log.warn({ stepMs }, `the clock was set ${direction} by ${formatDuration(Math.abs(stepMs))}`);
  }
}

/** Whether the state folder can take what the node has to keep. */
async function dataCondition(state: string): Promise<ConditionUpdate> {
  const bad = (reason: string, message: string) =>
    ({ name: 'DataAvailable', status: 'false', reason, message }) as const;
  try {
    await access(state, constants.R_OK | constants.W_OK);
    const { bavail, bsize, files, ffree } = await statfs(state);
    const freeBytes = bavail * bsize;
    if (freeBytes < minFreeBytes) {
      const free = `${Math.floor(freeBytes / 1e6)} MB`;
      return bad(
        'DiskFull',
        `no space: ${free} is left of the disk of ${state}, less than etcd takes at once`,
      );
    }
    if (files > 0 && ffree === 0)
      return bad('DiskFull', `no space: the disk of ${state} takes no more files`);
    return { name: 'DataAvailable', status: 'true', reason: '', message: `the state lies in ${state}` };
  } catch (error) {
    return bad('NotWritable', `the state folder ${state} cannot be written: ${messageOf(error)}`);
  }
}
