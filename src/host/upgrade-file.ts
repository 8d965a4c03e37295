import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { replaceFile } from '../lib/files.js';

const programSchema = v.strictObject({
  /** The Node.js binary and Hamlet's main file, both absolute. */
  node: v.string(),
  main: v.string(),
});

/** A version of Hamlet that can be run. */
export type Program = v.InferOutput<typeof programSchema>;

const upgradeSchema = v.strictObject({
  program: programSchema,
  /** Null until it is known. */
  outcome: v.nullable(v.picklist(['runs', 'failed'])),
  message: v.string(),
});

/** What `hamlet upgrade` asks of the process that runs, and what became of it. */
export type Upgrade = v.InferOutput<typeof upgradeSchema>;

export function writeUpgrade(file: string, upgrade: Upgrade): void {
  replaceFile(file, JSON.stringify(upgrade), 0o600);
}

/** What the file says; undefined when there is none, or none that can be believed. */
export function readUpgrade(file: string): Upgrade | undefined {
  try {
    return v.parse(upgradeSchema, JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return undefined;
  }
}
