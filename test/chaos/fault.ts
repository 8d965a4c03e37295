import type { ChaosNode } from './node.js';

export interface Fault {
  readonly name: string;
  /** The components that it ends, or may end. Others may only die of these, and the history has to say so. */
  readonly ends?: readonly string[];
  /** What Hamlet has to say about it in its own log. */
  readonly tells?: RegExp;
  /**
   * What it may cost: lines of the last second, all since the fault began where the disk took none, or lines of Hamlet's
   * own threads while they stop.
   */
  readonly costs?: 'lines' | 'lines since' | 'own lines';
  /**
   * Does the damage; resolves when it is done, not when it is mended. What it gives, if it can be told, becomes true
   * when the node has noticed: before that, a node that looks whole is not mended.
   */
  readonly inject: (node: ChaosNode, signal: AbortSignal) => Promise<Noticed | undefined> | Noticed;
}

export type Noticed = () => boolean;

const undone = new Set<() => void>();
process.on('exit', () => {
  for (const undo of undone) undo();
});

/** Something on the machine that is to be put right again: when it is disposed of, and in any case before the end. */
export function damage(undo: () => void): Disposable {
  const once = () => {
    if (undone.delete(once)) undo();
  };
  undone.add(once);
  return { [Symbol.dispose]: once };
}
