import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { HamletError, messageOf } from '../lib/errors.js';
import {
  builtRereads,
  parseKubernetesVersion,
  upstreamRereads,
  type Components,
  type Rereads,
} from '../platform/components.js';
import type { Config } from '../platform/config.js';
import { runPaths } from '../platform/paths.js';
import { checkEntry, findEntries, type Entry } from './cache.js';
import { findMachinePrograms, type Missing, type ProgramSearch } from './machine-programs.js';
import { CheckedFiles } from './checked-files.js';
import type { OwnKubernetes } from './own-binaries.js';
import { givenKubeInputs, givenPauseInputs, kubeArtefact, pauseArtefact, pauseRef } from './recipes.js';

/** The checkout's Go side; this file is dist/src/provision/components.js. */
export const kubernetesFolder = fileURLToPath(new URL('../../../kubernetes/', import.meta.url));

/** What a node needs, each part found or not. */
export interface Inventory {
  readonly programs: ProgramSearch;
  readonly kubernetes: OwnKubernetes | NotBuilt;
  readonly rereads: Rereads;
  readonly pause: Components['pauseImage'] | NotBuilt;
}

/** An artefact that the cache does not have, or not as it was built. */
export interface NotBuilt {
  readonly kind: 'not built';
  readonly why: string;
  /** The entry that is damaged. */
  readonly damaged?: Entry;
}

/** The components, and the check of those that were built: they must not be run before it. */
export interface FoundComponents {
  readonly components: Components;
  /**
   * Compares what was built with its recorded SHA-256, about 100 ms for the 94 MB, once since the machine's boot.
   * Throws FAILED_PRECONDITION, which names what is altered, and what mends it.
   */
  readonly verify: () => Promise<void>;
}

/**
 * Finds everything that a node starts: no network, no change to anything. Each start of a node calls it, and checks what
 * was built while etcd starts.
 * Throws FAILED_PRECONDITION that says what is missing and what mends it.
 */
export async function findComponents(config: Config, signal: AbortSignal): Promise<FoundComponents> {
  const entries: Entry[] = [];
  const inventory = await takeInventory(config, signal, {
    check: async (entry) => {
      entries.push(entry);
      return undefined;
    },
  });
  const components = componentsOf(inventory);
  return {
    components,
    verify: () => checkEntries(entries, new CheckedFiles(runPaths(config.paths.run).checked), signal),
  };
}

/** Finds the components as findComponents() does, and has checked them when it resolves. */
export async function resolveComponents(config: Config, signal: AbortSignal): Promise<Components> {
  return componentsOf(await takeInventory(config, signal));
}

async function checkEntries(
  entries: readonly Entry[],
  checked: CheckedFiles,
  signal: AbortSignal,
): Promise<void> {
  const problems: string[] = [];
  for (const entry of entries) {
    const damage = await findDamage(entry, signal, checked);
    if (damage !== undefined) problems.push(damage.why);
  }
  if (problems.length > 0) throw unusable(problems);
}

export function isNotBuilt(part: object): part is NotBuilt {
  return 'kind' in part && part.kind === 'not built';
}

type Check = (entry: Entry, signal: AbortSignal) => Promise<NotBuilt | undefined>;

export interface InventoryOptions {
  /** The binary has to be built by this compiler. */
  readonly goVersion?: string | undefined;
  /** Gives what is wrong with an artefact, if anything is; compares its SHA-256 by default. */
  readonly check?: Check;
}

/**
 * Looks for everything, and checks what was built.
 * Throws FAILED_PRECONDITION for a components.dir that cannot be used, which no set-up could mend.
 */
export async function takeInventory(
  config: Config,
  signal: AbortSignal,
  { goVersion, check = findDamage }: InventoryOptions = {},
): Promise<Inventory> {
  const { dir, cacheDir } = config.components;
  if (dir === undefined) {
    return {
      programs: findMachinePrograms(undefined),
      kubernetes: await findBuiltKubernetes(cacheDir, signal, check, goVersion),
      rereads: builtRereads,
      pause: await findBuiltPause(cacheDir, signal, check),
    };
  }
  const own = await import('./own-binaries.js');
  const kubernetes = await own.findOwnKubernetes(dir, { proxy: config.kubeProxy.enabled, signal });
  const marks = await own.findMarks(kubernetes.kube, signal);
  return {
    programs: findMachinePrograms(dir, { upstreamKubelet: !marks.has('patches') }),
    kubernetes,
    rereads: marks.has('rereads') ? builtRereads : upstreamRereads,
    pause: (await own.findOwnPause(dir, signal)) ?? (await findBuiltPause(cacheDir, signal, check)),
  };
}

/** Turns an inventory into components. Throws FAILED_PRECONDITION that names everything that is not there. */
export function componentsOf({ programs, kubernetes, rereads, pause }: Inventory): Components {
  if (programs.kind === 'missing' || isNotBuilt(kubernetes) || isNotBuilt(pause)) {
    const problems = [
      ...(programs.kind === 'missing' ? programs.missing.map(describeMissing) : []),
      ...[kubernetes, pause].filter(isNotBuilt).map((part) => part.why),
    ];
    throw unusable(problems);
  }
  return {
    ...programs.programs,
    kube: kubernetes.kube,
    kubernetesVersion: kubernetes.version,
    rereads,
    pauseImage: pause,
  };
}

function unusable(problems: readonly string[]): HamletError {
  const advice = 'run "npm start" in the folder of Hamlet, which installs or builds what is missing';
  return new HamletError('FAILED_PRECONDITION', [...problems, advice].join('\n'), { details: { problems } });
}

function describeMissing({ name, folders, debianPackage }: Missing): string {
  return `${name} is not in ${folders.join(', ')} (Debian's package ${debianPackage} has it)`;
}

async function findBuiltKubernetes(
  cacheDir: string,
  signal: AbortSignal,
  check: Check,
  goVersion: string | undefined,
): Promise<OwnKubernetes | NotBuilt> {
  const given = await givenKubeInputs(kubernetesFolder, signal);
  const entry = findEntries(cacheDir, kubeArtefact.kind, given).find(
    ({ manifest }) => goVersion === undefined || manifest.found.go === goVersion,
  );
  const version = parseKubernetesVersion(entry?.manifest.facts.version ?? '');
  if (entry === undefined || version === undefined) {
    return {
      kind: 'not built',
      why: `Kubernetes is not in the cache ${cacheDir} as this checkout of Hamlet needs it`,
    };
  }
  const damage = await check(entry, signal);
  if (damage !== undefined) return damage;
  return { kube: { kind: 'multicall', path: path.join(entry.folder, kubeArtefact.file) }, version };
}

async function findBuiltPause(
  cacheDir: string,
  signal: AbortSignal,
  check: Check,
): Promise<Components['pauseImage'] | NotBuilt> {
  const [entry] = findEntries(cacheDir, pauseArtefact.kind, givenPauseInputs());
  if (entry === undefined) {
    return { kind: 'not built', why: `the pause image is not in the cache ${cacheDir}` };
  }
  const damage = await check(entry, signal);
  return damage ?? { archive: path.join(entry.folder, pauseArtefact.file), ref: pauseRef };
}

async function findDamage(
  entry: Entry,
  signal: AbortSignal,
  checked?: CheckedFiles,
): Promise<NotBuilt | undefined> {
  try {
    await checkEntry(entry, signal, checked);
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return { kind: 'not built', why: messageOf(error), damaged: entry };
  }
}
