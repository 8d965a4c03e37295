import { createHash } from 'node:crypto';
import path from 'node:path';
import type { Restart } from '../../ipc/services/restart.js';
import { ensureFolder, replaceFile } from '../../lib/files.js';
import type { ComponentName } from '../../lib/names.js';
import type { Components } from '../../platform/components.js';
import type { Config } from '../../platform/config.js';
import type { Features } from '../../platform/kubernetes-versions.js';
import type { Machine } from '../../platform/machine.js';
import { runPaths } from '../../platform/paths.js';
import { usualStopPatienceMs } from '../../platform/stop-patience.js';
import type { Spec } from '../../supervision/state.js';
import type { WaitingFor } from './waits.js';

/** What a component's arguments, files and probe are made from. */
export interface Context {
  readonly config: Config;
  readonly components: Components;
  readonly machine: Machine;
  readonly node: { readonly name: string; readonly address: string };
  readonly features: Features;
}

/** What the main thread hands to this worker. */
export interface KubeletData extends Omit<Context, 'features'> {
  /** Restarts of components that nobody has seen the end of. */
  readonly openRestarts: readonly Restart[];
  /** Seals the credentials that are kept for the next start; 32 bytes. */
  readonly sealingKey: Uint8Array;
}

/** A file that a component reads at its start: its configuration. */
export interface ConfigFile {
  readonly path: string;
  readonly text: string;
  readonly mode: number;
}

/** How a component is started. Nothing here may depend on anything but the context: see digestOf(). */
export interface Command {
  readonly argv: readonly [string, ...string[]];
  readonly cwd: string;
  /** Beside PATH, which is the same for all. */
  readonly env?: Readonly<Record<string, string>>;
  /** Written before the start. */
  readonly files?: readonly ConfigFile[];
  /** Sockets that it leaves when it is killed, and cannot listen on then; they are taken away before the start. */
  readonly stale?: readonly string[];
}

export interface Prober {
  /** Resolves when the component does its work; throws an Error that says what is missing. */
  probe(signal: AbortSignal): Promise<void>;
}

/** The policy for one external component: what it needs, how it is started, when it counts as ready. */
export interface Component extends Spec {
  readonly name: ComponentName;
  /** Where its credentials go, if it gets any: its ramfs mount, or the files that outlive it. */
  readonly credentials: 'none' | 'ramfs' | 'state';
  /** With `state`: those that go to the ramfs mount all the same. */
  readonly volatile?: readonly string[];
  /** Whether they are kept, sealed, so that its first start does not wait for etcd's; all others wait for this one. */
  readonly keepsCredentials?: boolean;
  /** Those of them that it reads again by itself when they change; for any other it has to be started again. */
  readonly reloads?: readonly string[];
  /** Those that it reads at its start alone, and that matter to it only when an authority begins to sign. */
  readonly trustsAtStart?: readonly string[];
  /** Those that it gets with its next start, and that are no reason for one until they are overdue. */
  readonly waitsForStart?: readonly string[];
  /** Where it can be seen that it has taken a serving certificate; until it has, nothing says that it will. */
  readonly serves?: { readonly port: number; readonly file: string };
  /** Called before each start: makes folders, waits for what the start needs besides other components, and says so. */
  prepare(signal: AbortSignal, waitingFor: WaitingFor): Promise<void> | void;
  command(): Command;
  probe(signal: AbortSignal): Promise<void>;
  /** How often a healthy component is asked, and how long an answer may take, in milliseconds. */
  readonly probePeriodMs: number;
  readonly probeTimeoutMs: number;
}

/** What most components have in common; each file says where it differs. */
export const usual = {
  startTimeoutMs: 60_000,
  stopPatienceMs: usualStopPatienceMs,
  failureThreshold: 3,
  probePeriodMs: 5_000,
  probeTimeoutMs: 3_000,
  prepare: () => undefined,
} as const;

/** The folder in which a component finds its secrets. */
export function secretsFolder(context: Context, name: ComponentName): string {
  return path.join(runPaths(context.config.paths.run).secrets, name);
}

/**
 * A digest of all that a component is started with but its credentials, which are renewed while it runs. One that was
 * started with another digest has to be started again.
 */
export function digestOf({ argv, cwd, env = {}, files = [] }: Command): string {
  return createHash('sha256')
    .update(JSON.stringify([argv, cwd, env, files]))
    .digest('hex');
}

/** Puts a component's configuration in place. */
export function writeConfiguration({ files = [] }: Command): void {
  for (const { path: file, text, mode } of files) {
    ensureFolder(path.dirname(file));
    replaceFile(file, text, mode);
  }
}
