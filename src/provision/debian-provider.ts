import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { HamletError } from '../lib/errors.js';
import { formatDuration } from '../lib/time.js';
import type { Components } from '../platform/components.js';
import type { Config } from '../platform/config.js';
import { spaceProblem } from '../platform/disk.js';
import { cachePaths, removeFolder } from './cache.js';
import { download, findDownloads, type Downloads } from './downloads.js';
import { goVersion } from './go.js';
import { buildKube } from './kube-build.js';
import { acquireLock } from './lock.js';
import { installPackages, missingPackages } from './packages.js';
import { buildPause } from './pause.js';
import type { Provider, ProvisionOptions } from './provider.js';
import {
  componentsOf,
  isNotBuilt,
  kubernetesFolder,
  resolveComponents,
  takeInventory,
  type Inventory,
} from './components.js';
import { kubeArtefact } from './recipes.js';
import { findSource, prepareSource, type SourceTree } from './source.js';

/** The release whose archive has the source that kubernetes/main.go is written for. */
const debianCodename = 'bookworm';
/** Not needed by a node, but to try one: images are made of it in the tests and by hand. */
const busyboxPackage = 'busybox-static';
const unpackPackages = ['dpkg-dev'];
const pausePackages = ['gcc', 'libc6-dev'];
const compilerPackages = ['golang-go'];

/** Downloads, source tree, Go cache and scratch files took 2.6 GB at the most; a compiler to install takes 0.4 GB. */
const buildBytes = 4e9;

/** How long the parts of a first run take, for what a person is told; the compiler's part is processor time. */
const packagesMs = 30_000;
const downloadMs = 15_000;
const compileCpuMs = { cold: 480_000, warm: 90_000 };

/** Components from Debian's packages, and Kubernetes built from Debian's source package. */
export class DebianProvider implements Provider {
  readonly #config: Config;
  readonly #cacheDir: string;

  constructor(config: Config) {
    this.#config = config;
    this.#cacheDir = config.components.cacheDir;
  }

  async provision(options: ProvisionOptions): Promise<Components> {
    const { progress, signal } = options;
    const before = await this.#inventory(signal);
    if (isComplete(before)) return componentsOf(before);
    await this.#locked(options, async () => {
      // Another run may have finished while this one waited for the lock.
      const inventory = await this.#inventory(signal);
      if (isComplete(inventory)) return;
      const needs = await this.#needs(inventory, signal);
      const noSpace = needs.kube
        ? spaceProblem(this.#cacheDir, buildBytes, 'Building Kubernetes')
        : undefined;
      if (noSpace !== undefined) throw new HamletError('FAILED_PRECONDITION', noSpace);
      progress.note(`Setting up Hamlet. This takes ${estimate(needs, hasBuilt(this.#cacheDir))}.`);
      for (const part of [inventory.kubernetes, inventory.pause]) {
        if (!isNotBuilt(part) || part.damaged === undefined) continue;
        progress.note(`${part.why}; it is built again.`);
        removeFolder(this.#cacheDir, part.damaged.folder);
      }
      await this.#install(needs.packages, options);
      if (needs.pause) await this.#buildPause(options);
      if (needs.kube) await this.#buildKube(options);
      progress.note('Everything is in place.');
    });
    return resolveComponents(this.#config, signal);
  }

  /** The prepared source tree, for those who run the tests of the patches in it. */
  async source(options: ProvisionOptions): Promise<SourceTree> {
    return this.#locked(options, async () => {
      const packages = await missingPackages([...unpackPackages, ...compilerPackages], options.signal);
      await this.#install(packages, options);
      return this.#prepare(await this.#downloads(options), options);
    });
  }

  /** Runs one thing at a time on this cache, with an empty folder for what is unfinished. */
  async #locked<T>({ progress, signal }: ProvisionOptions, run: () => Promise<T>): Promise<T> {
    requireDebian();
    const { lock, tmp } = cachePaths(this.#cacheDir);
    mkdirSync(this.#cacheDir, { recursive: true });
    const onWait = (pid: number | undefined) =>
      progress.note(`Waiting for another set-up to finish${pid === undefined ? '' : ` (process ${pid})`}.`);
    using _held = await acquireLock(lock, { signal, onWait });
    rmSync(tmp, { recursive: true, force: true });
    try {
      return await run();
    } finally {
      rmSync(tmp, { recursive: true, force: true });
    }
  }

  /** With a compiler on the machine the binary has to be that compiler's; without one, any that was built will do. */
  async #inventory(signal: AbortSignal): Promise<Inventory> {
    const go = this.#config.components.dir === undefined ? await goVersion(signal) : undefined;
    return takeInventory(this.#config, signal, { goVersion: go });
  }

  async #needs(inventory: Inventory, signal: AbortSignal): Promise<Needs> {
    const kube = isNotBuilt(inventory.kubernetes);
    const pause = isNotBuilt(inventory.pause);
    const { programs } = inventory;
    const names = [
      ...(programs.kind === 'missing' ? programs.missing.map((missing) => missing.debianPackage) : []),
      busyboxPackage,
      ...(kube ? [...unpackPackages, ...compilerPackages] : []),
      ...(pause ? pausePackages : []),
    ];
    return { kube, pause, packages: await missingPackages([...new Set(names)], signal) };
  }

  async #install(packages: readonly string[], { progress, signal }: ProvisionOptions): Promise<void> {
    if (packages.length === 0) return;
    await progress.step(`Debian packages: ${packages.join(', ')}`, () =>
      installPackages(packages, cachePaths(this.#cacheDir).log, signal),
    );
  }

  async #downloads({ progress, signal }: ProvisionOptions): Promise<Downloads> {
    const there = await findDownloads(this.#cacheDir, signal);
    if (there !== undefined) return there;
    return progress.step('Kubernetes source, download', (report) =>
      download(this.#cacheDir, debianCodename, report, signal),
    );
  }

  async #prepare(downloads: Downloads, { progress, signal }: ProvisionOptions): Promise<SourceTree> {
    const source = { cacheDir: this.#cacheDir, kubernetesFolder, downloads, signal };
    const there = await findSource(source);
    if (there !== undefined) return there;
    return progress.step('Kubernetes source, preparation', (report) => prepareSource(source, report));
  }

  async #buildPause(options: ProvisionOptions): Promise<void> {
    const downloads = await this.#downloads(options);
    await options.progress.step('Pause image', () => buildPause(this.#cacheDir, downloads, options.signal));
  }

  async #buildKube(options: ProvisionOptions): Promise<void> {
    const { progress, signal } = options;
    const downloads = await this.#downloads(options);
    const tree = await this.#prepare(downloads, options);
    const go = await goVersion(signal);
    if (go === undefined) throw new HamletError('FAILED_PRECONDITION', 'there is no Go compiler');
    const build = { cacheDir: this.#cacheDir, kubernetesFolder, downloads, tree, goVersion: go, signal };
    await progress.step(`Kubernetes ${tree.version}, build`, (report) => buildKube({ ...build, report }));
  }
}

interface Needs {
  readonly kube: boolean;
  readonly pause: boolean;
  readonly packages: readonly string[];
}

function isComplete({ programs, kubernetes, pause }: Inventory): boolean {
  const node = programs.kind === 'found' && !isNotBuilt(kubernetes) && !isNotBuilt(pause);
  // dpkg's own list of the package's files; asking dpkg-query would cost each start 50 ms.
  return node && (!isDebian() || existsSync(`/var/lib/dpkg/info/${busyboxPackage}.list`));
}

/** Whether a build was finished here before, so that the Go cache has most of the next one. */
function hasBuilt(cacheDir: string): boolean {
  const { artefacts } = cachePaths(cacheDir);
  return existsSync(artefacts) && readdirSync(artefacts).some((name) => name.startsWith(kubeArtefact.kind));
}

function estimate({ kube, pause, packages }: Needs, warm: boolean): string {
  const processors = availableParallelism();
  const ms =
    (packages.length > 0 ? packagesMs : 0) +
    (kube || pause ? downloadMs : 0) +
    (kube ? compileCpuMs[warm ? 'warm' : 'cold'] / processors : 0);
  if (!kube) return `about ${formatDuration(ms)}`;
  const minutes = Math.max(1, Math.round(ms / 60_000));
  return (
    `about ${minutes === 1 ? 'a minute' : `${minutes} minutes`} on ${processors} processors, because Kubernetes is compiled here; ` +
    'later runs take no time, and one that is cut off is gone on with'
  );
}

function isDebian(): boolean {
  return existsSync('/etc/debian_version') && existsSync('/usr/bin/apt-get');
}

/** Throws FAILED_PRECONDITION on a system that this provider cannot serve. */
function requireDebian(): void {
  const osRelease = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  if (isDebian() && osRelease.includes(`VERSION_CODENAME=${debianCodename}`)) return;
  const name = /^PRETTY_NAME="?([^"\n]*)/m.exec(osRelease)?.[1] ?? 'this system';
  throw new HamletError(
    'FAILED_PRECONDITION',
    `the components come from Debian 12 (${debianCodename}), and this is ${name}; ` +
      'set components.dir in the configuration to binaries of your own',
  );
}
