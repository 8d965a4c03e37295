import { messageOf } from '../../lib/errors.js';
import { deadline, sleep } from '../../lib/time.js';
import { isShortage } from '../../platform/shortage.js';
import type { Component } from './component.js';
import { isUnasked } from './probes.js';

/** How soon a component that is starting is asked again, in milliseconds. */
const startingPeriodMs = 25;

export interface Answer {
  readonly ok: boolean;
  /** What is missing, where it is not. */
  readonly message: string;
  /** Whether it is the component's own failure, and not the machine's or that of who asks. */
  readonly counts: boolean;
}

export interface ProbingOptions {
  /** Called with each answer; gives whether the component is healthy now, and so asked at its own period. */
  readonly onAnswer: (component: Component, answer: Answer) => boolean;
}

/** Asks components how they are, each at its own pace, for as long as somebody wants to know. */
export class Probing {
  readonly #options: ProbingOptions;
  readonly #probes = new Map<string, AbortController>();

  constructor(options: ProbingOptions) {
    this.#options = options;
  }

  /** Begins to ask a component, or ends it; nothing changes where that is so already. */
  tend(component: Component, wanted: boolean): void {
    const { name } = component;
    const running = this.#probes.get(name);
    if (wanted && running === undefined) {
      const abort = new AbortController();
      this.#probes.set(name, abort);
      void this.#probe(component, abort.signal).catch((error: unknown) => {
        if (!abort.signal.aborted) throw error;
      });
    } else if (!wanted && running !== undefined) {
      this.#probes.delete(name);
      running.abort();
    }
  }

  close(): void {
    for (const probe of this.#probes.values()) probe.abort();
    this.#probes.clear();
  }

  async #probe(component: Component, signal: AbortSignal): Promise<void> {
    for (;;) {
      const answer = await ask(component, signal);
      if (signal.aborted) return;
      const healthy = this.#options.onAnswer(component, answer);
      await sleep(healthy ? component.probePeriodMs : startingPeriodMs, signal);
    }
  }
}

async function ask(component: Component, signal: AbortSignal): Promise<Answer> {
  try {
    using limit = deadline(component.probeTimeoutMs, signal);
    await component.probe(limit.signal);
    return { ok: true, message: '', counts: true };
  } catch (error) {
    return { ok: false, message: messageOf(error), counts: !isShortage(error) && !isUnasked(error) };
  }
}
