import type { Spec, State, TreeEvent } from './state.js';

type Starting = Extract<State, { kind: 'starting' }>;

/** How long something that runs already, and should be ready by its age, may take to its first good probe. */
export const adoptionPatienceMs = 20_000;

/**
 * What a failed probe makes of something that starts. Who could not even be asked may have been ready for long: the time
 * for it to answer begins when it can be, and then is as long as for one that is taken over.
 */
export function stillStarting(
  spec: Spec,
  state: Starting,
  { message, counts = true }: Extract<TreeEvent, { kind: 'probe' }>,
  nowMs: number,
): Starting {
  const { executedMs, lastProbe } = state;
  if (counts || executedMs === null) return message === lastProbe ? state : { ...state, lastProbe: message };
  const latestMs = nowMs - Math.max(0, spec.startTimeoutMs - adoptionPatienceMs);
  return { ...state, lastProbe: message, executedMs: Math.max(executedMs, latestMs) };
}
