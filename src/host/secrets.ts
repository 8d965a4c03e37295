import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, realpathSync, rmdirSync, writeFileSync } from 'node:fs';
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
 * Secrets of the components, each component's on a ramfs mount of its own: ramfs pages are never swapped out, which
 * tmpfs does not promise, and an unmounted ramfs has no pages left.
 */
export class Secrets {
  readonly #root: string;
  /** Whose mounts have all their files: one that is being filled has none that could be compared. */
  readonly #filled = new Set<string>();

  constructor(root: string) {
    mkdirSync(root, { recursive: true, mode: 0o700 });
    // As the kernel names it in the list of mounts, where a link on the way is resolved.
    this.#root = realpathSync(root);
  }

  /** Where the secrets of a component lie while it runs. */
  folder(name: string): string {
    return path.join(this.#root, name);
  }

  /** Mounts and fills the component's folder. Throws INTERNAL when the mount fails. */
  async provide(name: string, files: readonly SecretFile[]): Promise<void> {
    const wrong = files.find((file) => file.name !== path.basename(file.name));
    if (wrong !== undefined) {
      throw new HamletError('INVALID_ARGUMENT', `"${wrong.name}" is not a file's name`);
    }
    await this.remove(name);
    const folder = this.folder(name);
    // A run that was killed just then may have left the folder without its mount.
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    try {
      await exec('mount', ['-t', 'ramfs', '-o', 'mode=0700,nodev,nosuid,noexec', 'ramfs', folder]);
    } catch (error) {
      rmdirSync(folder);
      throw new HamletError('INTERNAL', `ramfs for the secrets of ${name} could not be mounted`, {
        cause: error,
      });
    }
    for (const { name: file, data } of files) {
      writeFileSync(path.join(folder, file), data, { mode: 0o400, flag: 'wx' });
    }
    this.#filled.add(name);
  }

  /**
   * The names of those files that the component does not have as they are given here.
   * Throws NOT_FOUND when it has no mount: it does not run.
   */
  changed(name: string, files: readonly SecretFile[]): string[] {
    const folder = this.#mounted(name);
    return files.flatMap(({ name: file, data }) => {
      const place = path.join(folder, path.basename(file));
      return existsSync(place) && readFileSync(place).equals(data) ? [] : [file];
    });
  }

  /** Replaces files of a component that runs, each whole or not at all. Throws NOT_FOUND when it has no mount. */
  replace(name: string, files: readonly SecretFile[]): void {
    const folder = this.#mounted(name);
    for (const { name: file, data } of files)
      replaceFile(path.join(folder, path.basename(file)), data, 0o400);
  }

  /** Takes a component's secrets away; there may be none. */
  async remove(name: string): Promise<void> {
    this.#filled.delete(name);
    for (const mount of mountsBelow(this.folder(name))) {
      // Lazily: a process of the component that has yet to go may still have a file open.
      await exec('umount', ['-l', mount.point]);
      rmdirSync(mount.point);
    }
  }

  #mounted(name: string): string {
    if (this.#filled.has(name)) return this.folder(name);
    throw new HamletError('NOT_FOUND', `${name} has no secrets now`);
  }

  /** Goes on with what an earlier run has given to these components, and takes the rest away. */
  async adopt(names: readonly string[]): Promise<void> {
    for (const mount of mountsBelow(this.#root)) {
      const name = path.relative(this.#root, mount.point);
      if (names.includes(name)) {
        // They are filled before a component is started.
        this.#filled.add(name);
        continue;
      }
      await exec('umount', ['-l', mount.point]);
      rmdirSync(mount.point);
    }
  }
}
