import type { ConditionUpdate, ExitStatus } from '../../ipc/services/host.js';
import { isHamletError, messageOf } from '../../lib/errors.js';
import type { ComponentName } from '../../lib/names.js';
import { describeState, execFailures, type Cause, type State } from '../../supervision/state.js';

/** What the board is told of a component; `preparation` is what its start waits for while it is being prepared. */
export function conditionOf(
  name: ComponentName,
  state: State,
  preparation: readonly string[],
  nowMs: number,
): ConditionUpdate {
  const healthy = state.kind === 'healthy';
  const waits = isPrepared(state) ? preparation : [];
  const message = describeState(state, nowMs);
  return {
    name,
    status: healthy ? 'true' : 'false',
    reason: healthy ? '' : reasonOf(state),
    message: waits.length > 0 ? `${message}, and waits for ${waits.join(', ')}` : message,
    waitsFor: state.kind === 'waiting' ? [...state.for] : [...waits],
  };
}

/** How a child came to its end. */
export function causeOf({ code, signal, outOfMemory }: ExitStatus): Cause {
  if (outOfMemory) return { kind: 'out-of-memory' };
  if (signal !== null) return { kind: 'killed', signal };
  return code === null ? { kind: 'lost' } : { kind: 'exited', code };
}

/** Why a start was not carried out. */
export function startFailure(error: unknown): Cause {
  const message = messageOf(error);
  if (!isHamletError(error) || error.details.exec === undefined) return { kind: 'error', message };
  const { exec } = error.details;
  return { kind: execFailures.find((kind) => kind === exec) ?? 'exec-failed', message };
}

/** One word for programs: the state, or what brought it about. */
function reasonOf(state: State): string {
  if (isPrepared(state)) return 'Preparing';
  const words = state.kind === 'backoff' ? state.cause.kind : state.kind;
  return words.replace(/(^|-)([a-z])/g, (_, _dash, letter: string) => letter.toUpperCase());
}

function isPrepared(state: State): boolean {
  return state.kind === 'starting' && state.executedMs === null;
}
