import { HamletError } from '../lib/errors.js';
import { poll } from '../lib/time.js';
import type { Config } from '../platform/config.js';
import { lockHolder } from '../platform/lock.js';
import { runPaths } from '../platform/paths.js';
import { sendSignal } from '../platform/process.js';
import { readUpgrade, writeUpgrade } from './upgrade-file.js';

/** Longer than the process that is asked waits for the new version. */
const timeoutMs = 150_000;

/**
 * Puts this version of Hamlet in the place of the one that runs the node; no component is restarted for it.
 * Throws FAILED_PRECONDITION when no node runs, and when this version did not start: then the old one goes on.
 */
export async function upgrade(config: Config, signal: AbortSignal): Promise<void> {
  const run = runPaths(config.paths.run);
  const pid = lockHolder(run.lock);
  if (pid === undefined) {
    throw new HamletError('FAILED_PRECONDITION', 'no node runs with this configuration; start it instead');
  }
  const program = { node: process.execPath, main: process.argv[1] ?? '' };
  writeUpgrade(run.upgrade, { program, outcome: null, message: '' });
  sendSignal(pid, 'SIGHUP');
  const { outcome, message } = await poll(
    () => {
      const now = readUpgrade(run.upgrade);
      return now?.outcome == null ? undefined : now;
    },
    { everyMs: 50, timeoutMs, signal, what: 'an answer of the node' },
  );
  if (outcome === 'failed') {
    throw new HamletError('FAILED_PRECONDITION', `${program.main} ${message}; the old version goes on`);
  }
  process.stdout.write(`The node is run by ${program.main} now.\n`);
}
