import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Test } from 'tap';
import { parseConfig, type Config } from '../../../src/platform/config.js';

/** The configuration of a node in a folder of its own; a short one, because sockets' names would be made of it. */
export function nodeFor(t: Test): Config {
  const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return parseConfig({ paths: { state: path.join(folder, 'state'), run: path.join(folder, 'run') } }, 'test');
}
