import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { HamletError } from '../lib/errors.js';
import { downloadSources, listDscFiles } from './apt.js';
import { cachePaths, syncPath } from './cache.js';
import { hashFile } from './inputs.js';
import type { Report } from './progress.js';

/** Debian's source packages that a build needs, and what it calls them. */
const sourcePackages = {
  kubernetes: 'kubernetes',
  reflect2: 'golang-github-modern-go-reflect2',
} as const;

/** The release that kubernetes/main.go is written for. */
const wantedRelease = '1.20';

export interface SourcePackage {
  /** Debian's version. */
  readonly version: string;
  readonly dsc: string;
  /** The upstream archive, the only or the largest file of the package. */
  readonly orig: string;
}

export type Downloads = Readonly<Record<keyof typeof sourcePackages, SourcePackage>>;

/** What a .dsc file says: the package's version and its files with their SHA-256 (dsc(5)). */
export interface Dsc {
  readonly version: string;
  readonly files: readonly { readonly name: string; readonly sha256: string }[];
}

/** Reads a .dsc file. Undefined when it has no version or no checksums: then it is not a whole one. */
export function parseDsc(text: string): Dsc | undefined {
  const version = /^Version: *(\S+)$/m.exec(text)?.[1];
  const list = /^Checksums-Sha256:[^\n]*\n((?: [^\n]*\n)+)/m.exec(text)?.[1];
  if (version === undefined || list === undefined) return undefined;
  const files = list
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [sha256 = '', , name = ''] = line.trim().split(/ +/);
      return { sha256, name: path.basename(name) };
    });
  return { version, files };
}

/**
 * The upstream version within a Debian one: "1.20.5+really1.20.2-1.1+deb12u1" is 1.20.2, because "+really" is how
 * Debian goes back to an earlier release without going back in its own numbers.
 */
export function upstreamVersion(debianVersion: string): string {
  const withoutRevision = debianVersion.replace(/^\d+:/, '').replace(/-[^-]*$/, '');
  return withoutRevision.split('+really').at(-1) ?? withoutRevision;
}

/** The source packages that are there already and whole, or undefined when one is not. */
export async function findDownloads(cacheDir: string, signal: AbortSignal): Promise<Downloads | undefined> {
  const { downloads } = cachePaths(cacheDir);
  const kubernetes = await findPackage(downloads, sourcePackages.kubernetes, signal);
  const reflect2 = await findPackage(downloads, sourcePackages.reflect2, signal);
  return kubernetes === undefined || reflect2 === undefined ? undefined : { kubernetes, reflect2 };
}

/**
 * Downloads the source packages. A file that is whole is kept, and one that was cut off is gone on with.
 * Throws FAILED_PRECONDITION when the archive has another release of Kubernetes than the wanted one.
 */
export async function download(
  cacheDir: string,
  codename: string,
  report: Report,
  signal: AbortSignal,
): Promise<Downloads> {
  const { downloads, apt } = cachePaths(cacheDir);
  const options = { codename, aptFolder: apt, folder: downloads, signal, report };
  await downloadSources(Object.values(sourcePackages), options);
  let found = await findDownloads(cacheDir, signal);
  if (found === undefined) {
    // apt believes a file of the right size; one that a power cut spoiled has to go before it fetches it anew.
    rmSync(downloads, { recursive: true });
    await downloadSources(Object.values(sourcePackages), options);
    found = await findDownloads(cacheDir, signal);
  }
  if (found === undefined) {
    throw new HamletError('DATA_LOSS', `what was downloaded to ${downloads} does not match its checksums`);
  }
  requireRelease(found.kubernetes.version);
  syncPath(downloads);
  return found;
}

function requireRelease(debianVersion: string): void {
  if (upstreamVersion(debianVersion).startsWith(`${wantedRelease}.`)) return;
  throw new HamletError(
    'FAILED_PRECONDITION',
    `the archive has Kubernetes ${debianVersion}, and Hamlet builds ${wantedRelease}; set components.dir in the ` +
      'configuration to binaries of your own',
  );
}

/** The last version of a package among the downloads whose files are all there with the right content. */
async function findPackage(
  folder: string,
  name: string,
  signal: AbortSignal,
): Promise<SourcePackage | undefined> {
  for (const dsc of listDscFiles(folder, name)) {
    const parsed = parseDsc(readFileSync(dsc, 'utf8'));
    if (parsed === undefined || !(await allMatch(folder, parsed.files, signal))) continue;
    const orig = parsed.files.find((file) => file.name.includes('.orig.tar.'));
    if (orig !== undefined) return { version: parsed.version, dsc, orig: path.join(folder, orig.name) };
  }
  return undefined;
}

async function allMatch(folder: string, files: Dsc['files'], signal: AbortSignal): Promise<boolean> {
  for (const { name, sha256 } of files) {
    try {
      if ((await hashFile(path.join(folder, name), signal)) !== sha256) return false;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
      return false;
    }
  }
  return true;
}
