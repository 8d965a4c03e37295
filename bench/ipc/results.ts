import { median } from '../median.js';
import type { Measured } from './contender.js';
import type { ContenderName, ScenarioName } from './scenarios.js';

export type Figure = 'perSecond' | 'p50Us' | 'p99Us' | 'cpuUs';

const figures: Readonly<Record<Figure, (measured: Measured) => number>> = {
  perSecond: ({ count, seconds }) => count / seconds,
  p50Us: ({ p50Us }) => p50Us,
  p99Us: ({ p99Us }) => p99Us,
  /** Microseconds of processor time for each call. */
  cpuUs: ({ cpuUs, count }) => cpuUs / count,
};

/** What was measured, round by round. */
export class Results {
  readonly #rounds = new Map<string, Measured[]>();

  add(scenario: ScenarioName, contender: ContenderName, measured: Measured): void {
    const key = `${scenario} ${contender}`;
    this.#rounds.set(key, [...(this.#rounds.get(key) ?? []), measured]);
  }

  /** A figure in every round. */
  all(scenario: ScenarioName, contender: ContenderName, figure: Figure): number[] {
    return (this.#rounds.get(`${scenario} ${contender}`) ?? []).map(figures[figure]);
  }

  median(scenario: ScenarioName, contender: ContenderName, figure: Figure): number {
    return median(this.all(scenario, contender, figure));
  }

  /**
   * The median of the rounds' ratios: what disturbs the machine for a while disturbs both sides of a round.
   */
  ratio(
    figure: Figure,
    [scenario, contender]: readonly [ScenarioName, ContenderName],
    [otherScenario, other]: readonly [ScenarioName, ContenderName],
  ): number {
    const others = this.all(otherScenario, other, figure);
    return median(
      this.all(scenario, contender, figure).map((value, round) => value / (others[round] ?? NaN)),
    );
  }
}
