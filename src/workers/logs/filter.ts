import { setFlagsFromString } from 'node:v8';
import { HamletError, messageOf } from '../../lib/errors.js';
import { severities, type FollowRequest, type Severity } from '../../ipc/services/logs.js';
import type { RingLine } from '../../lib/ring/block.js';
import { structureOf, type Structure } from './structure.js';

/** V8's second engine (flag "l"): its time is linear in the line, whatever the expression. */
setFlagsFromString('--enable-experimental-regexp-engine');
const linearTime = 'l';

const rank = new Map<Severity, number>(severities.map((severity, i) => [severity, i]));

type Wanted = Pick<
  FollowRequest,
  'sinceMs' | 'untilMs' | 'minSeverity' | 'text' | 'pattern' | 'events' | 'run'
>;

/** Which lines of a log are wanted; the same for what is held and for what comes. */
export class LineFilter {
  readonly #sinceMs: number;
  readonly #untilMs: number;
  readonly #minRank: number;
  readonly #text: Buffer | undefined;
  readonly #pattern: RegExp | undefined;

  /** Throws INVALID_ARGUMENT for an expression that is none, or that cannot be matched in linear time. */
  constructor({ sinceMs, untilMs, minSeverity, text, pattern }: Wanted) {
    this.#sinceMs = sinceMs ?? -Infinity;
    this.#untilMs = untilMs ?? Infinity;
    this.#minRank = minSeverity === null ? 0 : (rank.get(minSeverity) ?? 0);
    this.#text = text === null ? undefined : Buffer.from(text);
    this.#pattern = pattern === null ? undefined : linear(pattern);
  }

  /** What the line says of itself if it is wanted, else undefined. `run` is the only run wanted, if there is one. */
  pass(line: RingLine, run: number | undefined): Structure | undefined {
    if (run !== undefined && line.run !== run) return undefined;
    if (line.atMs < this.#sinceMs || line.atMs > this.#untilMs) return undefined;
    if (this.#text !== undefined && !line.data.includes(this.#text)) return undefined;
    const string = line.data.toString();
    if (this.#pattern?.test(string) === false) return undefined;
    const structure = structureOf(string, line.atMs);
    // A line that does not say counts as "info": nobody wants to lose the plain lines, nor to drown in them.
    return (rank.get(structure.severity ?? 'info') ?? 0) >= this.#minRank ? structure : undefined;
  }
}

function linear(pattern: string): RegExp {
  try {
    return new RegExp(pattern, linearTime);
  } catch (error) {
    throw new HamletError('INVALID_ARGUMENT', `the expression cannot be used: ${messageOf(error)}`);
  }
}
