import { execFile } from 'node:child_process';
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { HamletError } from '../lib/errors.js';
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

  constructor(root: string) {
    this.#root = root;
    mkdirSync(root, { recursive: true, mode: 0o700 });
  }

  /** Where the secrets of a component lie while it runs. */
  folder(name: string): string {
    return path.join(this.#root, name);
  }

  /** Mounts and fills the component's folder. Throws INTERNAL when the mount fails. */
  async provide(name: string, files: readonly SecretFile[]): Promise<void> {
    await this.remove(name);
    const folder = this.folder(name);
    mkdirSync(folder, { mode: 0o700 });
    try {
      await exec('mount', ['-t', 'ramfs', '-o', 'mode=0700,nodev,nosuid,noexec', 'ramfs', folder]);
    } catch (error) {
      rmdirSync(folder);
      throw new HamletError('INTERNAL', `ramfs for the secrets of ${name} could not be mounted`, {
        cause: error,
      });
    }
    for (const { name: file, data } of files) {
      if (file !== path.basename(file))
        throw new HamletError('INVALID_ARGUMENT', `"${file}" is not a file's name`);
      writeFileSync(path.join(folder, file), data, { mode: 0o400, flag: 'wx' });
    }
  }

  /** Takes a component's secrets away; there may be none. */
  async remove(name: string): Promise<void> {
    for (const mount of mountsBelow(this.folder(name))) {
      // Lazily: a process of the component that has yet to go may still have a file open.
      await exec('umount', ['-l', mount.point]);
      rmdirSync(mount.point);
    }
  }

  /** Takes away whatever a run that was killed has left. */
  async removeAll(): Promise<void> {
    for (const mount of mountsBelow(this.#root)) {
      await exec('umount', ['-l', mount.point]);
      rmdirSync(mount.point);
    }
  }
}
