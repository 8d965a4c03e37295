/** What the process that runs the node and the one that it has started to take its place say to each other. */

/** Set for a process that was started by its predecessor, which waits for it. */
export const successorVariable = 'HAMLET_SUCCESSOR';

/** From the successor: it runs the node; or why it cannot, in lines, before it ends. */
export type SuccessorMessage =
  { readonly kind: 'running' } | { readonly kind: 'failed'; readonly lines: string[] };

/** How a successor ended before it ran the node. */
export interface SuccessorFailure {
  /** In words, with the program's name. */
  readonly message: string;
  /** Neither for one that could not be executed. */
  readonly code: number | null;
  readonly signal: string | null;
  /** What it said last, as far as it could. */
  readonly lastLines: readonly string[];
}

/** Whether a predecessor waits for this process. */
export function isSuccessor(): boolean {
  return process.env[successorVariable] !== undefined;
}

/** To be called when this process stands on its own. */
export function becomeIndependent(): void {
  // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the name is a constant
  delete process.env[successorVariable];
}

/** Does nothing where there is no predecessor. */
export function tellPredecessor(message: SuccessorMessage): void {
  if (isSuccessor()) process.send?.(message);
}
