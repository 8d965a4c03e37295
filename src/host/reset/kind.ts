/** One kind of thing that a node leaves on its machine. Looks at the machine anew each time it is asked. */
export interface Kind {
  readonly name: string;
  /** What there is of it, in a few words with numbers; undefined when there is nothing. */
  find(): Promise<string | undefined> | string | undefined;
  /** Takes it away. Does nothing when there is nothing, and goes on behind what cannot be taken away. */
  remove(signal: AbortSignal): Promise<Outcome> | Outcome;
}

export interface Outcome {
  /** What belongs to others as well, or to nobody we know, and stays for that reason. */
  readonly left?: readonly string[];
  /** What should have gone and did not: what it is, the reason, and what a person can do. */
  readonly failed?: readonly string[];
}

/** "1 chain", "3 chains": a number of things, and nothing at all for none of them. */
export function count(number: number, one: string, several = `${one}s`): string {
  if (number === 0) return '';
  return `${number} ${number === 1 ? one : several}`;
}

/** Joins what is not empty; undefined when nothing is left. */
export function joined(...parts: readonly string[]): string | undefined {
  return parts.filter((part) => part !== '').join(', ') || undefined;
}
