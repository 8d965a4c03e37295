import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { errnoOf } from './errors.js';

/**
 * Puts a file in place whole or not at all: written beside its place, synced, renamed, and the folder synced, so that
 * after a power cut there is the old content or the new one. `mode` is set from the first byte on.
 */
export function writeFileAtomic(file: string, data: string | Uint8Array, mode: number): void {
  replace(file, data, { mode, sync: true });
  syncFolder(path.dirname(file));
}

/**
 * The same for a file that is somebody's own: it keeps its mode and its owner, and a symbolic link stays one and what it
 * leads to is replaced. `newMode` is for a file that is not there yet. Throws what the system says, such as EPERM where
 * the owner cannot be kept and ELOOP.
 */
export function rewriteFile(file: string, data: string | Uint8Array, newMode: number): void {
  const target = targetOf(file);
  const { mode = newMode, ...owner } = statSync(target, { throwIfNoEntry: false }) ?? {};
  replace(target, data, { mode: mode & 0o7777, sync: true, ...('uid' in owner && { owner }) });
  syncFolder(path.dirname(target));
}

/** Where a symbolic link leads in the end, whether anything is there or not. */
function targetOf(file: string): string {
  let target = file;
  // As many as the kernel follows (path_resolution(7)); then statSync() says ELOOP.
  for (let links = 0; links < 40; links++) {
    let link: string;
    try {
      link = readlinkSync(target);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === 'EINVAL' || errno === 'ENOENT') return target;
      throw error;
    }
    target = path.resolve(realpathSync(path.dirname(target)), link);
  }
  return target;
}

/** The same for a file that no reboot needs: readers see the old content or the new one, and nothing is synced. */
export function replaceFile(file: string, data: string | Uint8Array, mode: number): void {
  replace(file, data, { mode, sync: false });
}

interface Replacing {
  readonly mode: number;
  readonly sync: boolean;
  /** Whoever writes it, unless given. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

function replace(file: string, data: string | Uint8Array, { mode, sync, owner }: Replacing): void {
  // One name for all writers of the file: what a killed one has left goes with the next. Two never write at once.
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.tmp`);
  rmSync(temporary, { force: true });
  try {
    // Of a mode that is to be kept the umask must take nothing, and before it is the owner's nobody else has a right.
    const fd = openSync(temporary, 'wx', owner === undefined ? mode : 0o600);
    try {
      if (owner !== undefined) {
        fchownSync(fd, owner.uid, owner.gid);
        fchmodSync(fd, mode);
      }
      writeAll(fd, typeof data === 'string' ? Buffer.from(data) : data);
      if (sync) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Makes a folder and its parents; an existing one gets `mode` only when it is made. */
export function ensureFolder(folder: string, mode = 0o755): string {
  mkdirSync(folder, { recursive: true, mode });
  return folder;
}

/** Writes everything: the system may take less at once. */
export function writeAll(fd: number, data: Uint8Array): void {
  for (let offset = 0; offset < data.length;) offset += writeSync(fd, data, offset);
}

/** After this a new name in the folder is there after a power cut too. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Removes a file that may not be there; throws what the system says of any other failure. `rmSync` asks three times
 * what the file is first.
 */
export function removeFile(file: string): void {
  try {
    unlinkSync(file);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
