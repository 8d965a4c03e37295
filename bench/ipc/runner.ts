import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Job, Measured } from './contender.js';

/** A contender in a process of its own; between its jobs it sleeps, and costs the others nothing. */
export class RigProcess {
  readonly name: string;
  readonly #child: ChildProcess;

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
  }

  static async start(name: string): Promise<RigProcess> {
    const child = fork(new URL('./rig.js', import.meta.url), [name], { serialization: 'advanced' });
    const rig = new RigProcess(name, child);
    await rig.#answer();
    return rig;
  }

  async measure(job: Job): Promise<Measured> {
    this.#child.send(job);
    return (await this.#answer()) as Measured;
  }

  async stop(): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.send('stop');
    await exit;
  }

  async #answer(): Promise<unknown> {
    const left = new AbortController();
    try {
      const [message] = (await Promise.race([
        once(this.#child, 'message', { signal: left.signal }),
        once(this.#child, 'exit', { signal: left.signal }).then(([code]) => {
          throw new Error(`${this.name} ended with ${String(code)}`);
        }),
      ])) as [unknown];
      return message;
    } finally {
      left.abort();
    }
  }
}
