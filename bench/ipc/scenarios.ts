import type { Job } from './contender.js';

/** The contenders and what they are called in reports. The mesh comes first. */
export const contenders = {
  hamlet: 'Hamlet, brokered',
  floor: 'C, brokered (the floor)',
  'unix-direct': "Hamlet's connection, direct",
  'message-port-main': 'MessagePort through main',
  'message-port-main-batched': 'MessagePort through main, batched',
  'message-port-direct': 'MessagePort direct',
  comlink: 'comlink, direct',
  piscina: 'piscina',
  moleculer: 'moleculer over TCP, direct',
  cluster: 'cluster messages, brokered',
  zeromq: 'zeromq, brokered',
  grpc: 'grpc-js over a Unix socket, direct',
} as const;
export type ContenderName = keyof typeof contenders;
export const contenderNames = Object.keys(contenders) as ContenderName[];

export interface Scenario {
  readonly title: string;
  readonly job: Job;
  /** Who takes part; everybody if it is left out. */
  readonly by?: readonly ContenderName[];
}

const MIB = 2 ** 20;
const withBlobs = contenderNames;
const withItems: readonly ContenderName[] = [
  'hamlet',
  'unix-direct',
  'message-port-main',
  'message-port-main-batched',
  'message-port-direct',
];
const echo = (outstanding: number, ms: number, beside?: Extract<Job, { kind: 'echo' }>['beside']): Job => ({
  kind: 'echo',
  outstanding,
  ms,
  ...(beside !== undefined && { beside }),
});

/** Small calls that are disturbed are measured in threads that have all of them to themselves. */
const disturbed: readonly ContenderName[] = ['hamlet', 'message-port-main'];
/** How many small calls are open while they are disturbed. */
export const DISTURBED_OUTSTANDING = 16;

/** What is measured, in this order in every round; `ms` is how long each measurement takes. */
export function makeScenarios(ms: number) {
  return {
    echo1: { title: 'round trips, 1 outstanding', job: echo(1, ms) },
    echo16: { title: 'round trips, 16 outstanding', job: echo(16, ms) },
    echo64: { title: 'round trips, 64 outstanding', job: echo(64, ms) },
    echo256: { title: 'round trips, 256 outstanding', job: echo(256, ms) },
    blob: {
      title: '64 KiB answers, 4 outstanding',
      job: { kind: 'blob', bytes: 65_536, outstanding: 4, ms },
      by: withBlobs,
    },
    items: {
      title: 'a stream of a million small items',
      job: { kind: 'items', count: 1_000_000 },
      by: withItems,
    },
    alone: {
      title: `${DISTURBED_OUTSTANDING} small calls, undisturbed`,
      job: echo(DISTURBED_OUTSTANDING, 3 * ms),
      by: disturbed,
    },
    beside1: {
      title: 'the same beside 1 MiB answers',
      job: echo(DISTURBED_OUTSTANDING, 3 * ms, { kind: 'blob', bytes: MIB }),
      by: disturbed,
    },
    beside16: {
      title: 'the same beside 16 MiB answers',
      job: echo(DISTURBED_OUTSTANDING, 3 * ms, { kind: 'blob', bytes: 16 * MIB }),
      by: disturbed,
    },
    stuck: {
      title: 'the same beside a stuck destination',
      job: echo(DISTURBED_OUTSTANDING, 3 * ms, { kind: 'stuck' }),
      by: ['hamlet'],
    },
  } as const satisfies Record<string, Scenario>;
}
export type ScenarioName = keyof ReturnType<typeof makeScenarios>;
export const scenarioNames = Object.keys(makeScenarios(0)) as ScenarioName[];
