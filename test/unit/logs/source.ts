import { LineSplitter, systemClock, type Clock } from '../../../src/lib/line-splitter.js';
import {
  createPipeMemory,
  createRingMemory,
  defaultRingLimits,
  sequencesPerStart,
} from '../../../src/lib/ring/memory.js';
import { Ring } from '../../../src/lib/ring/ring.js';

/** A log that is written to by hand. */
export class Source {
  readonly ring: Ring;
  readonly #splitter: LineSplitter;

  /** The first line gets the first number of the start, or one further on in a start that has gone on for long. */
  constructor(start = 1, clock: Clock = systemClock) {
    const limits = defaultRingLimits;
    this.ring = new Ring(createRingMemory(limits, Math.floor(start * sequencesPerStart)));
    this.#splitter = new LineSplitter({
      memory: createPipeMemory(limits),
      ring: this.ring,
      source: 'stderr',
      clock,
    });
  }

  write(text: string, run = 1): void {
    const bytes = Buffer.from(text);
    bytes.copy(this.#splitter.landing);
    this.#splitter.received(bytes.length, run);
  }
}
