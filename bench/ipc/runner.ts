import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Job, Measured } from './contender.js';

/** A rig that has not answered after this time hangs. */
const ANSWER_MS = 20_000;
/** So often a job is given to a contender that hangs or dies over it, each time to a fresh process. */
const ATTEMPTS = 3;

/** A contender in a process of its own; between its jobs it sleeps, and costs the others nothing. */
export class RigProcess {
  readonly name: string;
  #child: ChildProcess;

  private constructor(name: string) {
    this.name = name;
    this.#child = launch(name);
  }

  static async start(name: string): Promise<RigProcess> {
    const rig = new RigProcess(name);
    await rig.#answer();
    return rig;
  }

  /** Throws if the contender could not do it. */
  async measure(job: Job): Promise<Measured> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        this.#child.send(job);
        return (await this.#answer()) as Measured;
      } catch (error) {
        this.#child.kill('SIGKILL');
        if (attempt === ATTEMPTS) throw error;
        this.#child = launch(this.name);
        await this.#answer();
      }
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.send('stop');
    await exit;
  }

  async #answer(): Promise<unknown> {
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(new Error(`${this.name} does not answer`)), ANSWER_MS);
    const options = { signal: over.signal };
    try {
      return await Promise.race([
        once(this.#child, 'message', options).then(([message]: unknown[]) => message),
        once(this.#child, 'exit', options).then(([code]) => {
          throw new Error(`${this.name} ended with ${String(code)}`);
        }),
      ]);
    } catch (error) {
      over.signal.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(timer);
      over.abort();
    }
  }
}

/** The temporary files of all of them: one that has to be killed leaves its own behind. */
const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-bench-ipc-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

function launch(name: string): ChildProcess {
  const env = { ...process.env, TMPDIR: folder };
  return fork(new URL('./rig.js', import.meta.url), [name], { serialization: 'advanced', env });
}
