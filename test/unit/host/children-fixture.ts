import { closeSync, existsSync, openSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { Children } from '../../../src/host/children.js';
import type { ChildrenOptions, Outputs } from '../../../src/host/children-options.js';
import { isSameFile } from '../../../src/host/leftovers.js';
import { Secrets } from '../../../src/host/secrets.js';
import type { Child, SpawnRequest } from '../../../src/ipc/services/host.js';
import { poll } from '../../../src/lib/time.js';
import { sendSignal, startTicksOf } from '../../../src/platform/process.js';

const shell = '/bin/sh';

/** For waits that have their own end. */
export const never = new AbortController().signal;

/** Output goes to files, NAME.RUN.out and NAME.RUN.err. */
export class FileOutputs implements Outputs {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  openOutput(name: string, run: number) {
    const file = path.join(this.#folder, `${name}.${run}`);
    const [stdout, stderr] = [openSync(`${file}.out`, 'a'), openSync(`${file}.err`, 'a')];
    const close = () => {
      closeSync(stdout);
      closeSync(stderr);
    };
    return { stdout, stderr, close };
  }

  adopt(_name: string, _run: number, _after?: Promise<unknown>): void {}

  lastRun(): number {
    return 0;
  }

  isOutputOf(name: string, pid: number): boolean {
    return this.#files(name).some((file) => isSameFile(file, `/proc/${pid}/fd/1`));
  }

  async endRun(): Promise<boolean> {
    return true;
  }

  get stdouts(): ReadonlyMap<string, string> {
    return new Map(['a', 'b', 'stubborn'].flatMap((name) => this.#files(name).map((file) => [name, file])));
  }

  #files(name: string): string[] {
    const files = readdirSync(this.#folder).filter(
      (file) => file.startsWith(`${name}.`) && file.endsWith('.out'),
    );
    return files.map((file) => path.join(this.#folder, file));
  }
}

export function optionsIn(folder: string): ChildrenOptions {
  return {
    file: path.join(folder, 'children.json'),
    secrets: new Secrets(path.join(folder, 'secrets')),
    outputs: new FileOutputs(folder),
    endPatienceMs: () => 500,
  };
}

/** A request to run a shell script. */
export function script(name: string, text: string, overrides: Partial<SpawnRequest> = {}): SpawnRequest {
  return {
    name,
    argv: [shell, '-c', text],
    env: { PATH: '/bin:/usr/bin' },
    cwd: '/',
    secrets: [],
    stale: [],
    digest: text,
    ...overrides,
  };
}

/** A table of children in a folder of its own; whatever still runs at the end of the test is killed. */
export function startChildren(t: Test, overrides: Partial<ChildrenOptions> = {}) {
  const folder = t.testdir();
  const children = new Children({ ...optionsIn(folder), ...overrides });
  t.teardown(() => {
    for (const { pid, exit } of children.all) if (exit === null) sendSignal(-pid, 'SIGKILL');
  });
  return { folder, children, table: path.join(folder, 'children.json') };
}

/** The child of this name when it has ended. */
export function ended(
  children: Children,
  name: string,
): Promise<Child & { exit: NonNullable<Child['exit']> }> {
  return waitFor(`the end of ${name}`, () => {
    const child = children.all.find((one) => one.name === name);
    return child?.exit == null ? undefined : { ...child, exit: child.exit };
  });
}

/** What a script has written, once there is a whole line of it. */
export function line(folder: string, file: string): Promise<string> {
  const place = path.join(folder, file);
  return waitFor(`a line in ${file}`, () => {
    const text = existsSync(place) ? readFileSync(place, 'utf8') : '';
    return text.includes('\n') ? text.trimEnd() : undefined;
  });
}

export async function gone(pid: number): Promise<true> {
  return waitFor(`the end of process ${pid}`, () => startTicksOf(pid) === undefined || undefined);
}

export function waitFor<T>(what: string, probe: () => T | undefined): Promise<T> {
  return poll(probe, { everyMs: 5, timeoutMs: 10_000, what });
}
