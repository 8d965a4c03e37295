import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { conditionNames, componentNames } from '../lib/names.js';
import { sleep } from '../lib/time.js';
import type { ConditionBoard } from './conditions.js';

const exec = promisify(execFile);

/** sd_notify(3) wants a datagram socket, which Node.js has none of: systemd's own program sends for us. */
const program = 'systemd-notify';
const programTimeoutMs = 5_000;

/** How often the status line is looked at, in milliseconds: each change is a process. */
const statusPeriodMs = 2_000;

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
  const { env, stop } = options;
  if (!listens(env)) return;
  const watchdogMs = Number(env.WATCHDOG_USEC ?? 0) / 2_000;
  const tell = teller(options);
  void tellReady(options, tell);
  void tellStates(options, tell);
  if (watchdogMs > 0) void feedWatchdog(options, tell, watchdogMs);
  stop.addEventListener('abort', () => void tell(['STOPPING=1', 'STATUS=stopping']), { once: true });
}

/**
 * What makes another process the one that init takes for the service; undefined under an init that has no way for that.
 * It rejects when init could not be told.
 */
export function mainProcessChange(env: NodeJS.ProcessEnv): ((pid: number) => Promise<void>) | undefined {
  if (!listens(env)) return undefined;
  // systemd-notify ends when systemd has taken note: from then on this process may end.
  return (pid) => send(env, [`MAINPID=${pid}`]);
}

function listens(env: NodeJS.ProcessEnv): boolean {
  return (env.NOTIFY_SOCKET ?? '') !== '';
}

/** Sends words to init, and gives whether it was told. */
type Tell = (words: readonly string[]) => Promise<boolean>;

async function tellReady({ board, over }: InitNotifyOptions, tell: Tell): Promise<void> {
  await board.becomesTrue('NodeReady', over);
  while (!over.aborted && !(await tell(['READY=1'])))
    await sleep(statusPeriodMs, over).catch(() => undefined);
}

async function tellStates({ board, stop, over }: InitNotifyOptions, tell: Tell): Promise<void> {
  let last = '';
  while (!stop.aborted && !over.aborted) {
    const status = describe(board);
    if (status !== last && (await tell([`STATUS=${status}`]))) last = status;
    await sleep(statusPeriodMs, over).catch(() => undefined);
  }
}

async function feedWatchdog({ over }: InitNotifyOptions, tell: Tell, periodMs: number): Promise<void> {
  while (!over.aborted) {
    await tell(['WATCHDOG=1']);
    await sleep(periodMs, over).catch(() => undefined);
  }
}

/**
 * A machine that has no processes left sends nothing; the next words are sent all the same, because systemd ends what
 * stays silent. Of failures in a row the first is reported.
 */
function teller({ env, over, onError }: InitNotifyOptions): Tell {
  let fails = false;
  return async (words) => {
    try {
      await send(env, words);
      fails = false;
    } catch (error) {
      if (!fails && !over.aborted) onError(error);
      fails = true;
    }
    return !fails;
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
