import { conditionNames, componentNames } from '../lib/names.js';
import { formatDuration } from '../lib/time.js';
import type { Condition } from '../ipc/services/host.js';
import type { ConditionBoard } from './conditions.js';

const shown: readonly string[] = [...conditionNames, ...componentNames];
/**
 * A rotation of the authorities takes its time, a day at most, and nothing has to wait for its end; and whoever asks from
 * another machine may have to wait for an address that this one does not have yet.
 */
const awaited = shown.filter((name) => name !== 'AuthoritiesSettled' && name !== 'RemoteDebugReady');
const nameWidth = Math.max(...shown.map((name) => name.length));

/** After so long without news a person is told what is being waited for, in milliseconds. */
const silenceMs = 5_000;

/** What is on its way, as opposed to what has gone wrong. */
const underWay = new Set([
  'NotReported',
  'Waiting',
  'Preparing',
  'Starting',
  'Stopping',
  'NotHealthy',
  'NotRegistered',
  'KubeletNotRunning',
]);

export interface ConsoleOptions {
  readonly board: ConditionBoard;
  readonly write: (text: string) => void;
  /** Aborted when the node is told to stop. */
  readonly signal: AbortSignal;
}

/** Tells the person who started the node what it is doing: a line for each step done and for each thing gone wrong. */
export class ConsoleReport {
  readonly #options: ConsoleOptions;
  readonly #end = new AbortController();
  readonly #last = new Map<string, Condition>();
  #silence: NodeJS.Timeout | undefined;
  #ready = false;

  constructor(options: ConsoleOptions) {
    this.#options = options;
    options.signal.addEventListener('abort', this.#onStop, { once: true });
    this.#restartSilence();
    void this.#run();
  }

  /** Says something that no condition tells. */
  note(text: string): void {
    this.#line(`--  ${text}`);
  }

  /** Says nothing any more. */
  close(): void {
    this.#end.abort();
    clearTimeout(this.#silence);
    this.#options.signal.removeEventListener('abort', this.#onStop);
  }

  async #run(): Promise<void> {
    for await (const { conditions, snapshot } of this.#options.board.watch(this.#end.signal)) {
      for (const condition of conditions) {
        const old = this.#last.get(condition.name);
        this.#last.set(condition.name, condition);
        if (!snapshot && shown.includes(condition.name) && this.#isNews(old, condition)) this.#say(condition);
      }
      this.#announceReady();
    }
  }

  /** It became true, it stopped when it was to stop, or something about it has gone wrong. */
  #isNews(old: Condition | undefined, { name, status, reason }: Condition): boolean {
    if (status === 'true') return old?.status !== 'true';
    if (old?.reason === reason) return false;
    const isComponent = !(conditionNames as readonly string[]).includes(name);
    if (this.#options.signal.aborted) return isComponent && reason !== 'Stopping';
    return old?.status === 'true' || (isComponent && !underWay.has(reason));
  }

  #say({ name, status, message }: Condition): void {
    const mark = status === 'true' ? 'ok' : this.#options.signal.aborted ? '--' : '!!';
    this.#line(`${mark}  ${name.padEnd(nameWidth)}  ${message}`);
  }

  #line(text: string): void {
    const seconds = process.uptime().toFixed(2).padStart(8);
    this.#options.write(`${seconds} s  ${text}\n`);
    this.#restartSilence();
  }

  #announceReady(): void {
    if (this.#ready || !this.#isComplete()) return;
    this.#ready = true;
    clearTimeout(this.#silence);
    this.#options.write(nextSteps());
  }

  /** Everything that this node has holds: a component that was left out is never spoken of. */
  #isComplete(): boolean {
    return (
      awaited.every((name) => {
        const { status, reason } = this.#last.get(name) ?? { status: 'unknown', reason: '' };
        return status === 'true' || reason === 'NotReported';
      }) && this.#last.get('NodeReady')?.status === 'true'
    );
  }

  /** While the node starts or stops, silence is broken by what it waits for. */
  #restartSilence(): void {
    clearTimeout(this.#silence);
    if (this.#ready && !this.#options.signal.aborted) return;
    this.#silence = setTimeout(() => {
      const stopping = this.#options.signal.aborted;
      const open = [...this.#last.values()].filter(({ name, status, reason }) =>
        stopping
          ? reason === 'Stopping'
          : status !== 'true' && reason !== 'Waiting' && awaited.includes(name),
      );
      const what = open.map(({ name, message }) => `${name} (${message})`).join(', ');
      this.#line(`..  waits for ${what || 'nothing that is known'}`);
    }, silenceMs);
  }

  readonly #onStop = (): void => {
    const reason: unknown = this.#options.signal.reason;
    this.#line(`--  ${reason instanceof Error ? reason.message : 'stopping'}; a moment, please`);
  };
}

function nextSteps(): string {
  return `
The node is ready, ${formatDuration(process.uptime() * 1_000)} after its start. In another terminal:

  npx dbg kubectl get nodes    kubectl, with credentials made for the call
  npx dbg logs kube.kubelet    what a component has written
  npx dbg condition            what holds and what does not, with reasons

Ctrl-C stops it; containers go on, and the next start finds them.

`;
}
