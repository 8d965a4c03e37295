import { conditionNames, componentNames } from '../lib/names.js';
import { formatDuration } from '../lib/time.js';
import type { Condition } from '../ipc/services/host.js';
import type { ConditionBoard } from './conditions.js';

const shown = new Set<string>([...conditionNames, ...componentNames]);
const nameWidth = Math.max(...[...shown].map((name) => name.length));

/** Tells the person who started the node what it is doing, a line for each change. */
export class ConsoleReport {
  readonly #board: ConditionBoard;
  readonly #stop = new AbortController();
  readonly #write: (line: string) => void;
  #ready = false;

  constructor(board: ConditionBoard, write: (line: string) => void) {
    this.#board = board;
    this.#write = write;
    void this.#run();
  }

  /** Says nothing any more. */
  close(): void {
    this.#stop.abort();
  }

  async #run(): Promise<void> {
    const last = new Map<string, Condition>();
    for await (const { conditions, snapshot } of this.#board.watch(this.#stop.signal)) {
      for (const condition of conditions) {
        const old = last.get(condition.name);
        last.set(condition.name, condition);
        if (snapshot || !shown.has(condition.name) || !isNews(old, condition)) continue;
        this.#write(line(condition));
      }
      if (!this.#ready && ['NodeReady', 'BuiltinsReady'].every((name) => last.get(name)?.status === 'true')) {
        this.#ready = true;
        this.#write(nextSteps());
      }
    }
  }
}

/** It became true, or is false for another reason than before. */
function isNews(old: Condition | undefined, condition: Condition): boolean {
  if (condition.status === 'true') return old?.status !== 'true';
  return old?.status === 'true' || old?.reason !== condition.reason;
}

function line({ name, status, message }: Condition): string {
  const seconds = process.uptime().toFixed(2).padStart(8);
  const mark = status === 'true' ? 'ok' : '..';
  return `${seconds} s  ${mark}  ${name.padEnd(nameWidth)}  ${message}`;
}

function nextSteps(): string {
  return `
The node is ready, ${formatDuration(process.uptime() * 1_000)} after its start. In another terminal:

  npx dbg kubectl get nodes      kubectl, with credentials made for the call
  npx dbg logs kube.kubelet      what a component has written
  npx dbg condition              what holds and what does not, with reasons

Ctrl-C stops it; containers go on, and the next start finds them.
`;
}
