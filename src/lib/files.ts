import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';

/**
 * Puts a file in place whole or not at all: written beside its place, synced, renamed, and the folder synced, so that
 * after a power cut there is the old content or the new one. `mode` is set from the first byte on.
 */
export function writeFileAtomic(file: string, data: string | Uint8Array, mode: number): void {
  replace(file, data, mode, true);
  syncFolder(path.dirname(file));
}

/** The same for a file that no reboot needs: readers see the old content or the new one, and nothing is synced. */
export function replaceFile(file: string, data: string | Uint8Array, mode: number): void {
  replace(file, data, mode, false);
}

function replace(file: string, data: string | Uint8Array, mode: number, sync: boolean): void {
  // One name for all writers of the file: what a killed one has left goes with the next. Two never write at once.
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.tmp`);
  rmSync(temporary, { force: true });
  try {
    const fd = openSync(temporary, 'wx', mode);
    try {
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
