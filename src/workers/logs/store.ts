import { HamletError } from '../../lib/errors.js';
import type { LogMemory } from '../../lib/ring/memory.js';
import { Ring } from '../../lib/ring/ring.js';
import { Archive, type ArchiveOptions } from './archive.js';
import { Arrivals } from './arrivals.js';
import { LoudPipes } from './loud-pipes.js';
import { PipeReader } from './pipe-reader.js';
import { Turns } from './turns.js';

/** All rings of the node and the readers that fill them. */
export class LogStore {
  /** Wakes those who wait for lines. */
  readonly arrivals = new Arrivals();
  /** Shares the thread's time among those who read the rings. */
  readonly turns = new Turns();
  readonly #rings: ReadonlyMap<string, Ring>;
  readonly #readers: readonly PipeReader[];
  readonly #readersOf = new Map<string, PipeReader[]>();
  readonly #wake: Int32Array;
  /** What is kept beyond the memory, if anything is. */
  readonly archive: Archive | undefined;
  #isClosed = false;

  /** Takes up the memory as the worker before has left it, and starts to read. */
  constructor(memory: LogMemory, keep: Pick<ArchiveOptions, 'jobs' | 'log'>) {
    const rings = new Map(memory.rings.map((ring) => [ring.name, new Ring(ring.memory)]));
    this.#rings = rings;
    const { segments: settings } = memory;
    const archive = settings === undefined ? undefined : new Archive({ ...keep, settings, rings });
    this.archive = archive;
    const loudPipes = new LoudPipes();
    this.#readers = memory.pipes.map((pipe) => {
      const ring = rings.get(pipe.name);
      if (ring === undefined) throw new HamletError('INTERNAL', `the pipe of ${pipe.name} has no ring`);
      const reader = new PipeReader(pipe, ring, loudPipes, {
        onBatch: () => archive?.noticed(pipe.name),
        onLines: () => this.arrivals.notify(pipe.name),
      });
      this.#readersOf.set(pipe.name, [...(this.#readersOf.get(pipe.name) ?? []), reader]);
      return reader;
    });
    this.#wake = new Int32Array(memory.wake);
    for (const reader of this.#readers) reader.redo();
    for (const reader of this.#readers) reader.start();
    void this.#watchRuns();
  }

  get rings(): ReadonlyMap<string, Ring> {
    return this.#rings;
  }

  /** The ring of a component; NOT_FOUND says which there are. */
  ring(name: string): Ring {
    const ring = this.#rings.get(name);
    if (ring !== undefined) return ring;
    const names = [...this.#rings.keys()];
    throw new HamletError('NOT_FOUND', `there is no log of ${name}; there are ${names.join(', ')}`, {
      details: { names },
    });
  }

  /** The latest run of a component that is known; 0 before its first one. */
  latestRun(name: string): number {
    return Math.max(
      this.archive?.lastRun(name) ?? 0,
      ...(this.#readersOf.get(name) ?? []).map((reader) => reader.run),
    );
  }

  /** Takes what ended runs have left in their pipes, and says so to the main thread. */
  endRuns(): void {
    for (const reader of this.#readers) reader.endRuns();
  }

  /**
   * Takes what is left in the pipes, and ends. It is the last of Hamlet that does, see host/node.ts; what a component
   * writes that runs on waits in its pipe for the next start.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    Atomics.notify(this.#wake, 0);
    for (const reader of this.#readers) reader.finish();
    await this.archive?.close();
  }

  /** The main thread waits for the end of a run to be drained before it starts the next: see LogPipes.endRun. */
  async #watchRuns(): Promise<void> {
    while (!this.#isClosed) {
      const seen = Atomics.load(this.#wake, 0);
      this.endRuns();
      const wait = Atomics.waitAsync(this.#wake, 0, seen);
      if (wait.async) await wait.value;
    }
  }
}
