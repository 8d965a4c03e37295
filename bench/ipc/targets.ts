import type { Figure, Results } from './results.js';
import type { ContenderName, ScenarioName } from './scenarios.js';

export interface Target {
  readonly name: string;
  readonly value: number | null;
  readonly target: number;
  readonly met: boolean;
}

type Side = readonly [ScenarioName, ContenderName];

interface Row {
  readonly name: string;
  readonly figure: Figure;
  readonly of: Side;
  readonly to: Side;
  readonly target: number;
  readonly atMost?: true;
}

const against = (name: string, scenario: ScenarioName, other: ContenderName, target: number): Row => ({
  name,
  figure: 'perSecond',
  of: [scenario, 'hamlet'],
  to: [scenario, other],
  target,
});
const mesh = (scenario: ScenarioName): Side => [scenario, 'hamlet'];

const rows: readonly Row[] = [
  {
    name: 'brokered p50 against MessagePort through main, 1 outstanding: at most',
    figure: 'p50Us',
    of: mesh('echo1'),
    to: ['echo1', 'message-port-main'],
    target: 1.35,
    atMost: true,
  },
  against(
    'brokered round trips against MessagePort through main (plain), 256 outstanding: at least',
    'echo256',
    'message-port-main',
    1.5,
  ),
  {
    name: 'CPU per round trip against MessagePort through main (plain), 256 outstanding: at most',
    figure: 'cpuUs',
    of: mesh('echo256'),
    to: ['echo256', 'message-port-main'],
    target: 0.42,
    atMost: true,
  },
  against('brokered against Unix socket direct, 256 outstanding: at least', 'echo256', 'unix-direct', 0.9),
  against('against moleculer TCP, 1 outstanding: at least', 'echo1', 'moleculer', 1.1),
  against('against moleculer TCP, 16 outstanding: at least', 'echo16', 'moleculer', 1.5),
  against('against moleculer TCP, 256 outstanding: at least', 'echo256', 'moleculer', 2.9),
  against('against moleculer TCP, 64 KiB answers: at least', 'blob', 'moleculer', 4),
  against('against zeromq brokered, 256 outstanding: at least', 'echo256', 'zeromq', 4.5),
  against('against grpc-js, 256 outstanding: at least', 'echo256', 'grpc', 30),
  {
    name: 'small calls beside 16 MiB answers, p99 against undisturbed p99: at most',
    figure: 'p99Us',
    of: mesh('beside16'),
    to: mesh('alone'),
    target: 2,
    atMost: true,
  },
  {
    name: "one stuck destination: other pairs' p99 against undisturbed: at most",
    figure: 'p99Us',
    of: mesh('stuck'),
    to: mesh('alone'),
    target: 1.5,
    atMost: true,
  },
  {
    name: 'a million small items, items per second against MessagePort direct, one message an item: at least',
    figure: 'perSecond',
    of: mesh('items'),
    to: ['items', 'message-port-direct'],
    target: 1.5,
  },
];

/** Each row of the table of targets, with what was measured; null where nothing was. */
export function judge(results: Results): Target[] {
  return rows.map(({ name, figure, of, to, target, atMost }) => {
    const ratio = results.ratio(figure, of, to);
    const value = Number.isFinite(ratio) ? Math.round(ratio * 1_000) / 1_000 : null;
    const met = value !== null && (atMost === true ? value <= target : value >= target);
    return { name, value, target, met };
  });
}
