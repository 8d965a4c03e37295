import type { RestartFields } from '../ipc/services/restart.js';
import type { Takeover } from './children-options.js';
import type { History } from './history.js';
import type { SuccessorFailure } from './successor.js';

/**
 * Writes down that an earlier run of Hamlet was killed, or that a successor could not take over, and what had ended by
 * the time of this one. Gives what is to be called when the node is well again.
 */
export function recordKill(
  history: Pick<History, 'put'>,
  { adopted, gone }: Takeover,
  failure?: SuccessorFailure,
): () => void {
  const rest =
    adopted.length === 0 ? 'nothing that it had started still runs' : `${adopted.join(', ')} went on`;
  const startedMs = Math.round(Date.now() - process.uptime() * 1_000);
  const killed = { message: `ended without stopping the node; ${rest}`, executedMs: startedMs };
  const kill = { ...lost('hamlet'), ...(failure === undefined ? killed : failed(failure, rest)) };
  const id = history.put(null, kill);
  for (const { name, run, pid, exit } of gone) {
    const known =
      exit?.outOfMemory === true ? ({ kind: 'out-of-memory', message: 'ran out of memory' } as const) : {};
    history.put(null, { ...lost(name), run, pid, ...known });
  }
  return () => void history.put(id, { ...kill, healthyMs: Date.now() });
}

function failed({ message, code, signal, lastLines }: SuccessorFailure, rest: string) {
  const kind: RestartFields['kind'] = signal !== null ? 'killed' : code !== null ? 'exited' : 'exec-failed';
  // The version that ran before has been there all the time.
  const executedMs = Date.now();
  return { message: `${message}; ${rest}`, kind, code, signal, lastLines: [...lastLines], executedMs };
}

function lost(name: string): RestartFields {
  const nowMs = Date.now();
  return {
    name,
    run: 0,
    pid: 0,
    atMs: nowMs,
    kind: 'lost',
    code: null,
    signal: null,
    message: 'ended while Hamlet did not run',
    waitedFor: [],
    nextTryMs: nowMs,
    executedMs: null,
    healthyMs: null,
    lastLines: [],
    causeId: null,
  };
}
