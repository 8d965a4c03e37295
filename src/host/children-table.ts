import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { child, type Child } from '../ipc/services/host.js';
import { replaceFile } from '../lib/files.js';
import { bootId } from '../platform/boot-id.js';

/** The table of children as it lies on the disk. Start times count from the boot that is named with them. */
const tableSchema = v.strictObject({ boot: v.string(), children: v.array(child) });

/** Written whole or not at all. Throws what the file system throws. */
export function writeTable(file: string, children: readonly Child[]): void {
  replaceFile(file, JSON.stringify({ boot: bootId(), children }), 0o600);
}

/**
 * The table as a run of Hamlet left it. One that cannot be read, that is no table, or that tells of another boot of
 * the machine is not believed, and counts as empty.
 */
export function readTable(file: string): Child[] {
  try {
    const { boot, children } = v.parse(tableSchema, JSON.parse(readFileSync(file, 'utf8')));
    return boot === bootId() ? children : [];
  } catch {
    return [];
  }
}
