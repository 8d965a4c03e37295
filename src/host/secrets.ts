import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { HamletError } from '../lib/errors.js';
import { replaceFile } from '../lib/files.js';
import { mountsBelow } from './mounts.js';

const exec = promisify(execFile);

export interface SecretFile {
  readonly name: string;
  readonly data: Uint8Array;
}

/**
 * Secrets of the components, a folder for each on one ramfs: its pages are never swapped out, which tmpfs does not
 * promise, and are free again when their file is gone. It is mounted for as long as any component has secrets, so that
 * a component that is started again needs no program but its own.
 */
export class Secrets {
  readonly #root: string;
  /** Who has all its files: one that is being given them has none that could be compared. */
  readonly #filled = new Set<string>();
  #last: Promise<void> = Promise.resolve();

  constructor(root: string) {
    mkdirSync(root, { recursive: true, mode: 0o700 });
    // As the kernel names it in the list of mounts, where a link on the way is resolved.
    this.#root = realpathSync(root);
  }

  /** Where the secrets of a component lie while it runs. */
  folder(name: string): string {
    return path.join(this.#root, name);
  }

  /** Gives a component these files, and nothing of what it had. Throws INTERNAL when the mount fails. */
  async provide(name: string, files: readonly SecretFile[]): Promise<void> {
    const wrong = files.find((file) => file.name !== path.basename(file.name));
    if (wrong !== undefined) {
      throw new HamletError('INVALID_ARGUMENT', `"${wrong.name}" is not a file's name`);
    }
    await this.#inTurn(async () => {
      this.#clear(name);
      await this.#mount(name);
      const folder = this.folder(name);
      mkdirSync(folder, { mode: 0o700 });
      for (const { name: file, data } of files) {
        writeFileSync(path.join(folder, file), data, { mode: 0o400, flag: 'wx' });
      }
      this.#filled.add(name);
    });
  }

  /**
   * The names of those files that the component does not have as they are given here.
   * Throws NOT_FOUND when it has no secrets: it does not run.
   */
  changed(name: string, files: readonly SecretFile[]): string[] {
    const folder = this.#filledFolder(name);
    return files.flatMap(({ name: file, data }) => {
      const place = path.join(folder, path.basename(file));
      return existsSync(place) && readFileSync(place).equals(data) ? [] : [file];
    });
  }

  /** Replaces files of a component that runs, each whole or not at all. Throws NOT_FOUND when it has no secrets. */
  replace(name: string, files: readonly SecretFile[]): void {
    const folder = this.#filledFolder(name);
    for (const { name: file, data } of files)
      replaceFile(path.join(folder, path.basename(file)), data, 0o400);
  }

  /** Takes a component's secrets away; there may be none. */
  async remove(name: string): Promise<void> {
    // Most of those that end had none, and their next start need not wait for this.
    if (!existsSync(this.folder(name))) return;
    await this.#inTurn(async () => {
      this.#clear(name);
      if (this.#names.length === 0) await this.#unmount();
    });
  }

  /** Goes on with what an earlier run has given to these components, and takes the rest away. */
  async adopt(names: readonly string[]): Promise<void> {
    await this.#inTurn(async () => {
      for (const name of this.#names) {
        // They have all their files before a component is started.
        if (names.includes(name)) this.#filled.add(name);
        else this.#clear(name);
      }
      if (this.#filled.size === 0) await this.#unmount();
    });
  }

  get #names(): string[] {
    return existsSync(this.#root) ? readdirSync(this.#root) : [];
  }

  #clear(name: string): void {
    this.#filled.delete(name);
    rmSync(this.folder(name), { recursive: true, force: true });
  }

  async #mount(name: string): Promise<void> {
    // Asked each time: without it the files would come to lie wherever the folder is.
    if (mountsBelow(this.#root).length > 0) return;
    try {
      await exec('mount', ['-t', 'ramfs', '-o', 'mode=0700,nodev,nosuid,noexec', 'ramfs', this.#root]);
    } catch (cause) {
      throw new HamletError('INTERNAL', `ramfs for the secrets of ${name} could not be mounted`, { cause });
    }
  }

  async #unmount(): Promise<void> {
    // Lazily: a process that has yet to go may still have a file open.
    for (const { point } of mountsBelow(this.#root)) await exec('umount', ['-l', point]);
  }

  #filledFolder(name: string): string {
    if (this.#filled.has(name)) return this.folder(name);
    throw new HamletError('NOT_FOUND', `${name} has no secrets now`);
  }

  /** One after the other: what is empty for one must not be taken from under another. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}
