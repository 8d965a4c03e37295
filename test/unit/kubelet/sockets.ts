import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Test } from 'tap';
import { messageOf } from '../../../src/lib/errors.js';

/** A folder with a name so short that a socket in it can be named (unix(7): 107 bytes). */
export function shortFolder(t: Test): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Why a probe has failed. */
export async function reason(probing: Promise<unknown>): Promise<string> {
  try {
    await probing;
  } catch (error) {
    return messageOf(error);
  }
  throw new Error('the probe succeeded');
}
