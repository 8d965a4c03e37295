import type { ConditionUpdate, ExitStatus } from '../../ipc/services/host.js';
import { isHamletError, messageOf } from '../../lib/errors.js';
import { describeState, execFailures, type Cause, type State } from '../../supervision/state.js';
import type { Component } from './component.js';

/** What the board is told of a component. */
export function conditionOf(component: Component, state: State, nowMs: number): ConditionUpdate {
  const healthy = state.kind === 'healthy';
  return {
    name: component.name,
    status: healthy ? 'true' : 'false',
    reason: healthy ? '' : reasonOf(state),
    message: describeState(state, nowMs),
    waitsFor: waitsFor(component, state),
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
  if (state.kind === 'starting' && state.executedMs === null) return 'Preparing';
  const words = state.kind === 'backoff' ? state.cause.kind : state.kind;
  return words.replace(/(^|-)([a-z])/g, (_, _dash, letter: string) => letter.toUpperCase());
}

/** By name: other components, and the PKI for the credentials that a start is prepared with. */
function waitsFor({ credentials }: Component, state: State): string[] {
  if (state.kind === 'waiting') return [...state.for];
  const isPrepared = state.kind === 'starting' && state.executedMs === null;
  return isPrepared && credentials !== 'none' ? ['PKIReady'] : [];
}
