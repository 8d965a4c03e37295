import path from 'node:path';
import { componentNames } from '../../src/lib/names.js';
import { sequencesPerStart } from '../../src/lib/ring/memory.js';
import type { TestNode } from '../node/support/hamlet.js';
import type { Fault } from './fault.js';
import { linesPerSecond, Witness } from './witness.js';

/**
 * What a SIGKILL of Hamlet may cost a log: what was read from its pipe and not yet written to disk. That is written every
 * 400 ms, a second on a busy machine. What nobody has read stays in the pipe, and none of it may be missing.
 */
const maxLostLines = linesPerSecond;

interface Entry {
  readonly kind: 'line' | 'event' | 'gap';
  readonly component: string;
  readonly sequence: number;
  readonly line: string;
  /** Of a gap: the first number that is missing and the first that is not; how many are, or null where nobody knows. */
  readonly from: number;
  readonly to: number;
  readonly lines: number | null;
}

interface Place {
  /** The number of the line that has to come next; undefined before the first. */
  next: number | undefined;
  /** The witness's. */
  nextWitness: number;
  /** How many lines Hamlet's end may have cost since the last line of the witness. */
  mayLack: number;
}

/** Reads all logs of a node bit by bit, and says where lines are missing. */
export class LogCheck {
  readonly #node: TestNode;
  readonly #file: string;
  readonly #places = new Map<string, Place>();

  constructor(node: TestNode) {
    this.#node = node;
    this.#file = path.join(node.folder, 'positions');
  }

  /**
   * Goes on where the last call ended. Gives what is missing, in words, and all that Hamlet's own threads have said.
   * `costs` is what the fault before it may have cost. Throws when the logs cannot be read.
   */
  async read(costs?: Fault['costs']): Promise<{ readonly problems: string[]; readonly said: string }> {
    const names = [...componentNames, 'hamlet', 'hamlet.*'];
    const args = ['logs', '--resume', this.#file, '-o', 'json', ...names];
    const { code, stdout, stderr } = await this.#node.dbg(args);
    if (code !== 0) throw new Error(`the logs cannot be read: ${stderr}`);
    const entries = stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Entry);
    return {
      problems: entries.flatMap((entry) => this.#problem(entry, costs) ?? []),
      said: entries
        .filter(({ kind, component }) => kind !== 'gap' && component.startsWith('hamlet'))
        .map(({ line }) => line)
        .join('\n'),
    };
  }

  #problem(entry: Entry, costs: Fault['costs']): string | undefined {
    const { component } = entry;
    let place = this.#places.get(component);
    if (place === undefined) {
      place = { next: undefined, nextWitness: 1, mayLack: 0 };
      this.#places.set(component, place);
    }
    if (entry.kind === 'gap') {
      place.next = entry.to;
      const ofAll = costs === 'lines' || costs === 'lines since';
      if (entry.lines === null && (ofAll || (costs === 'own lines' && component.startsWith('hamlet')))) {
        place.mayLack = costs === 'lines since' ? Infinity : maxLostLines;
        return undefined;
      }
      return `${component}: ${entry.lines ?? 'some'} lines are missing from ${entry.from} to ${entry.to}`;
    }
    const { next } = place;
    place.next = entry.sequence + 1;
    return this.#outOfOrder(entry, next) ?? this.#witnessProblem(entry, place);
  }

  /** Every start of Hamlet goes on at a new multiple; within one there is a line for each number. */
  #outOfOrder({ component, sequence }: Entry, next: number | undefined): string | undefined {
    if (next === undefined || sequence === next) return undefined;
    const isFirstOfStart = sequence % sequencesPerStart === 0 && sequence > next;
    return isFirstOfStart ? undefined : `${component}: line ${sequence} comes where ${next} should`;
  }

  #witnessProblem({ component, line }: Entry, place: Place): string | undefined {
    const number = Witness.numberIn(line);
    if (number === undefined) return undefined;
    const { nextWitness, mayLack } = place;
    const missing = number - nextWitness;
    place.nextWitness = number + 1;
    place.mayLack = 0;
    if (missing >= 0 && missing <= mayLack) return undefined;
    return `${component}: "${line}" comes where line ${nextWitness} should`;
  }
}
