import { existsSync, rmdirSync } from 'node:fs';
import { HamletError, isHamletError, messageOf } from '../../lib/errors.js';
import { ensureFolder } from '../../lib/files.js';
import type { Config } from '../../platform/config.js';
import { takeLock, type Lock } from '../../platform/lock.js';
import { runPaths } from '../../platform/paths.js';
import { cgroups } from './cgroups.js';
import { components } from './components.js';
import { confirm, requireTerminal } from './confirm.js';
import { firewall } from './firewall.js';
import { removeRecords, runFolder, stateFolders } from './folders.js';
import { kernelSettings } from './kernel-settings.js';
import { count, type Kind, type Outcome } from './kind.js';
import { logs } from './logs.js';
import { mounts } from './mounts.js';
import { network } from './network.js';
import { pods } from './pods.js';
import { sharedFolders } from './shared-folders.js';
import { rememberTraces } from './traces.js';

export interface ResetOptions {
  /** Whether to go ahead without asking. */
  readonly yes: boolean;
  readonly signal: AbortSignal;
}

/** A kind, and what there was of it at the beginning. */
interface Found {
  readonly kind: Kind;
  readonly what: string | undefined;
}

/**
 * Takes away everything that the node of this configuration has made on this machine. What belongs to others is left.
 * It can be interrupted at any place and run again.
 *
 * Throws PERMISSION_DENIED for anyone but root, FAILED_PRECONDITION while the node runs, when there is nobody to ask,
 * and when something could not be taken away (each is named on stdout), ABORTED when it was not to go on.
 */
export async function reset(config: Config, { yes, signal }: ResetOptions): Promise<void> {
  if (process.geteuid?.() !== 0) {
    throw new HamletError('PERMISSION_DENIED', 'a reset needs root; run it again with sudo');
  }
  const { state, run } = config.paths;
  if (!existsSync(state) && !existsSync(run)) {
    say(`There is nothing to take away: neither ${state} nor ${run} exists.`);
    return;
  }
  using _lock = lockNode(config);

  const found = await findAll(config);
  if (found.every(({ what }) => what === undefined)) {
    removeRecords(config);
    say(`There is nothing to take away of a node with its state in ${state}.`);
    return;
  }
  if (!yes) {
    requireTerminal();
    say(`This takes away what the node with its state in ${state} has made:\n`);
    for (const { kind, what } of found) if (what !== undefined) say(`  ${label(kind, found)}  ${what}`);
    await confirm('\nAll of it is gone for good. Go on?', signal);
  }

  rememberTraces(config);
  const failed = await removeAll(found, signal);
  if (failed > 0) {
    const message = `${count(failed, 'thing')} could not be taken away; put that right and run the reset again`;
    throw new HamletError('FAILED_PRECONDITION', message);
  }
  removeRecords(config);
  say(`The node is gone. Its configuration and the components in ${config.components.cacheDir} stay.`);
}

/** Keeps the node from being started meanwhile. The lock is the last thing to go, and the run-time folder with it. */
function lockNode(config: Config): Lock {
  const { run } = config.paths;
  ensureFolder(run);
  const lock = take(runPaths(run).lock);
  return {
    wasLeft: lock.wasLeft,
    [Symbol.dispose]() {
      lock[Symbol.dispose]();
      try {
        rmdirSync(run);
      } catch {
        // It is not empty, a mount point or a link; then it stays.
      }
    },
  };
}

function take(file: string): Lock {
  try {
    return takeLock(file, 'Hamlet runs');
  } catch (error) {
    if (!isHamletError(error, 'FAILED_PRECONDITION')) throw error;
    throw new HamletError('FAILED_PRECONDITION', 'stop the node before its reset', { cause: error });
  }
}

/** All kinds in the order in which they have to go. */
async function findAll(config: Config): Promise<Found[]> {
  const kinds = [
    // Those first that would make new ones of the rest.
    components(config),
    pods(config),
    mounts(config),
    network(config),
    firewall(config),
    cgroups(config),
    kernelSettings(config),
    logs(config),
    sharedFolders(config),
    // Last the folders by which all that is known.
    runFolder(config),
    stateFolders(config),
  ];
  const found: Found[] = [];
  for (const kind of kinds) found.push({ kind, what: await kind.find() });
  return found;
}

/** Returns how many things could not be taken away. */
async function removeAll(found: readonly Found[], signal: AbortSignal): Promise<number> {
  let failures = 0;
  for (const { kind, what } of found) {
    const { left = [], failed = [] } = await attempt(kind, signal);
    failures += failed.length;
    const isWorthALine = what !== undefined || left.length + failed.length > 0;
    if (isWorthALine) say(`${failed.length > 0 ? '!!' : 'ok'}  ${label(kind, found)}  ${what ?? ''}`);
    for (const problem of failed) say(`    ${problem}`);
    for (const thing of left) say(`    stays: ${thing}`);
  }
  return failures;
}

/** A kind that fails altogether does not keep the others from going. */
async function attempt(kind: Kind, signal: AbortSignal): Promise<Outcome> {
  try {
    signal.throwIfAborted();
    return await kind.remove(signal);
  } catch (error) {
    if (!signal.aborted) return { failed: [messageOf(error)] };
    throw new HamletError('ABORTED', 'the reset was interrupted; run it again to take away the rest', {
      cause: error,
    });
  }
}

function label({ name }: Kind, found: readonly Found[]): string {
  return name.padEnd(Math.max(...found.map(({ kind }) => kind.name.length)));
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
