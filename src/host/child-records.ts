import type { Child } from '../ipc/services/host.js';
import { Broadcast } from '../lib/broadcast.js';
import { messageOf } from '../lib/errors.js';
import type { Log } from '../lib/log.js';
import type { ChildNews } from './children-options.js';
import { writeTable } from './children-table.js';

/** What is known of each child, here and in the table's file, by which the next run of Hamlet knows what runs. */
export class ChildRecords {
  readonly #file: string;
  readonly #log: Log | undefined;
  readonly #records = new Map<string, Child>();
  readonly #changes = new Broadcast<readonly Child[]>();
  #hasEnds = true;
  #released = false;

  constructor(file: string, log: Log | undefined) {
    this.#file = file;
    this.#log = log;
  }

  get all(): readonly Child[] {
    return [...this.#records.values()];
  }

  get(name: string): Child | undefined {
    return this.#records.get(name);
  }

  /** See Children.watch(). */
  async *watch(signal: AbortSignal): AsyncGenerator<ChildNews, void, undefined> {
    using changes = this.#changes.subscribe(signal);
    yield { children: [...this.all], snapshot: true };
    for await (const children of changes) yield { children: [...children], snapshot: false };
  }

  /** Takes up what an earlier run has left on record, as it is by now; nobody is told. */
  takeUp(children: readonly Child[]): void {
    for (const child of children) this.#records.set(child.name, child);
    if (children.length > 0) this.#write();
  }

  /** Puts these on record, as one change. */
  set(changes: readonly Child[]): void {
    for (const child of changes) this.#records.set(child.name, child);
    this.#changes.send(changes);
    // What has ended is soon started again, and that is written at once. Until then the file has one that runs no more.
    if (changes.some(({ exit }) => exit === null)) this.#write();
    else setImmediate(() => this.#write());
  }

  #write(): void {
    if (this.#released) return;
    try {
      writeTable(this.#file, this.#hasEnds ? this.all : this.all.filter(({ exit }) => exit === null));
    } catch (error) {
      // A full disk is no reason to end what runs; the next change writes the whole table again.
      this.#log?.error({ err: error }, `the table of children was not written: ${messageOf(error)}`);
    }
  }

  /** From now on the file has nothing of what has ended. */
  forgetEnds(): void {
    this.#hasEnds = false;
    this.#write();
  }

  /** Leaves the file to another run of Hamlet. */
  release(): void {
    this.#released = true;
  }
}
