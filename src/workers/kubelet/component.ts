import path from 'node:path';
import type { ComponentName } from '../../lib/names.js';
import type { Components } from '../../platform/components.js';
import type { Config } from '../../platform/config.js';
import type { Features } from '../../platform/kubernetes-versions.js';
import type { Machine } from '../../platform/machine.js';
import { runPaths } from '../../platform/paths.js';
import type { Spec } from '../../supervision/state.js';

/** What the main thread hands to this worker. */
export interface KubeletData {
  readonly config: Config;
  readonly components: Components;
  readonly machine: Machine;
  readonly node: { readonly name: string; readonly address: string };
}

/** What a component's arguments, files and probe are made from. */
export interface Context extends KubeletData {
  readonly features: Features;
}

export interface Command {
  readonly argv: readonly [string, ...string[]];
  readonly cwd: string;
  /** Beside PATH, which is the same for all. */
  readonly env?: Readonly<Record<string, string>>;
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
  /** Those of them that it reads again by itself when they change; for any other it has to be started again. */
  readonly reloads?: readonly string[];
  /** Called before each start: writes configuration, waits for what the start needs besides other components. */
  prepare(signal: AbortSignal): Promise<void> | void;
  command(): Command;
  probe(signal: AbortSignal): Promise<void>;
  /** How often a healthy component is asked, and how long an answer may take, in milliseconds. */
  readonly probePeriodMs: number;
  readonly probeTimeoutMs: number;
}

/** What most components have in common; each file says where it differs. */
export const usual = {
  startTimeoutMs: 60_000,
  stopPatienceMs: 10_000,
  failureThreshold: 3,
  probePeriodMs: 5_000,
  probeTimeoutMs: 3_000,
  prepare: () => undefined,
} as const;

/** The folder in which a component finds its secrets. */
export function secretsFolder(context: Context, name: ComponentName): string {
  return path.join(runPaths(context.config.paths.run).secrets, name);
}
