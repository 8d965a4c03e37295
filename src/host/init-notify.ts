import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { conditionNames, componentNames } from '../lib/names.js';
import { sleep } from '../lib/time.js';
import type { ConditionBoard } from './conditions.js';

const exec = promisify(execFile);

/** sd_notify(3) wants a datagram socket, which Node.js has none of: systemd's own program sends for us. */
const program = 'systemd-notify';
const programTimeoutMs = 5_000;

/** How often the status line is looked at while the node starts, in milliseconds: each change is a process. */
const statusPeriodMs = 2_000;
/** And once it has become ready. */
const calmPeriodMs = 10_000;

const shown: readonly string[] = [...conditionNames, ...componentNames];

export interface InitNotifyOptions {
  readonly board: ConditionBoard;
  /** Aborted when the node is to stop. */
  readonly stop: AbortSignal;
  /** Aborted when nothing is to be said any more. */
  readonly over: AbortSignal;
  readonly onError: (error: unknown) => void;
  /** As systemd sets it: NOTIFY_SOCKET, and WATCHDOG_USEC where a watchdog is wanted. */
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Tells systemd how the node is: READY when it has become ready, and not before, a status line that says what is waited
 * for, and at half the watchdog's time that the main thread's event loop turns. Does nothing under another init.
 */
export function notifyInit(options: InitNotifyOptions): void {
  if ((options.env.NOTIFY_SOCKET ?? '') === '') return;
  const watchdogMs = Number(options.env.WATCHDOG_USEC ?? 0) / 2_000;
  const loops =
    watchdogMs > 0 ? [tellStates(options), feedWatchdog(options, watchdogMs)] : [tellStates(options)];
  // They end with the node.
  for (const loop of loops) loop.catch(() => undefined);
}

async function tellStates(options: InitNotifyOptions): Promise<void> {
  const { board, stop, over, env } = options;
  const tell = teller(options);
  let ready = false;
  let last = '';
  stop.addEventListener(
    'abort',
    () => void send(env, ['STOPPING=1', 'STATUS=stopping']).catch(() => undefined),
  );
  while (!stop.aborted) {
    const isReady = board.get('NodeReady').status === 'true';
    const status = describe(board);
    if (isReady && !ready) {
      ready = await tell(['READY=1', `STATUS=${status}`]);
      if (ready) last = status;
    } else if (status !== last && (await tell([`STATUS=${status}`]))) {
      last = status;
    }
    await sleep(ready ? calmPeriodMs : statusPeriodMs, over);
  }
}

async function feedWatchdog(options: InitNotifyOptions, periodMs: number): Promise<void> {
  const tell = teller(options);
  for (;;) {
    await tell(['WATCHDOG=1']);
    await sleep(periodMs, options.over);
  }
}

/**
 * What sends words, and gives whether they were sent. When a machine has no processes left they are not, which is told
 * once; the next words are sent all the same, because systemd ends what stays silent.
 */
function teller({ env, over, onError }: InitNotifyOptions): (words: readonly string[]) => Promise<boolean> {
  let isFailing = false;
  return async (words) => {
    try {
      await send(env, words);
      isFailing = false;
    } catch (error) {
      if (!isFailing && !over.aborted) onError(error);
      isFailing = true;
    }
    return !isFailing;
  };
}

function describe(board: ConditionBoard): string {
  const open = board.all.filter(
    ({ name, status, reason }) => status !== 'true' && reason !== 'NotReported' && shown.includes(name),
  );
  if (open.length > 0) return `waits for ${open.map(({ name }) => name).join(', ')}`;
  return board.get('NodeReady').status === 'true' ? 'the node is ready' : 'starting';
}

async function send(env: NodeJS.ProcessEnv, words: readonly string[]): Promise<void> {
  await exec(program, [...words], { env, timeout: programTimeoutMs });
}
