import { execFile } from 'node:child_process';
import { lstatSync, unlinkSync } from 'node:fs';
import { promisify } from 'node:util';
import { HamletError, errnoOf } from '../lib/errors.js';

/** Makes the named pipes that are missing, readable by root alone; what is there instead of one goes. Throws INTERNAL. */
export async function makePipes(files: readonly string[]): Promise<void> {
  const missing = files.filter((file) => !isPipe(file));
  if (missing.length === 0) return;
  try {
    // Node has no mkfifo(3); one call makes them all, once for each boot of the machine.
    await promisify(execFile)('mkfifo', ['-m', '600', '--', ...missing]);
  } catch (error) {
    throw new HamletError('INTERNAL', 'the output pipes cannot be made', { cause: error });
  }
}

/** Whether the file is a pipe; takes away what is there instead of one. */
function isPipe(file: string): boolean {
  try {
    if (lstatSync(file).isFIFO()) return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
  unlinkSync(file);
  return false;
}
