import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { HamletError } from '../lib/errors.js';

/** A file that only this user can read, gone when it is disposed. */
export class SecretFile {
  readonly path: string;
  readonly #folder: string;

  /**
   * Writes `content` to a file of mode 0600 in a new folder of mode 0700, in memory where the machine has such a
   * place and else among the temporary files. Throws FAILED_PRECONDITION when no place can be written.
   */
  constructor(name: string, content: string) {
    this.#folder = newFolder();
    this.path = path.join(this.#folder, name);
    try {
      writeFileSync(this.path, content, { mode: 0o600, flag: 'wx' });
    } catch (cause) {
      this[Symbol.dispose]();
      throw new HamletError('FAILED_PRECONDITION', `cannot write ${this.path}`, { cause });
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function newFolder(): string {
  let cause: unknown;
  for (const place of [...ownRuntimeDir(), '/dev/shm', '/run', tmpdir()]) {
    try {
      // mkdtemp makes the folder 0700 whatever the umask.
      return mkdtempSync(path.join(place, 'dbg-'));
    } catch (error) {
      cause = error;
    }
  }
  throw new HamletError('FAILED_PRECONDITION', 'there is no folder for temporary credentials', { cause });
}

/** XDG_RUNTIME_DIR, unless it is another user's, as after `sudo -E`. */
function ownRuntimeDir(): string[] {
  const dir = process.env.XDG_RUNTIME_DIR;
  if (dir === undefined || !path.isAbsolute(dir)) return [];
  const uid = statSync(dir, { throwIfNoEntry: false })?.uid;
  return uid === process.getuid?.() ? [dir] : [];
}
