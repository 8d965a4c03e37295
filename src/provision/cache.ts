import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import * as v from 'valibot';
import { HamletError, errnoOf } from '../lib/errors.js';
import { writeFileAtomic } from '../lib/files.js';
import { programsInUse } from '../platform/process.js';
import type { CheckedFiles } from './checked-files.js';
import { hashFile, hashInputs, type Inputs } from './inputs.js';

/** How many entries of a kind are kept: this checkout's, and those of a branch or two beside it. */
const keptEntries = 3;
const manifestName = 'manifest.json';

const texts = v.record(v.string(), v.string());

/** What an entry was made from, and what came out. */
const manifestSchema = v.object({
  /** Inputs that the checkout fixes: patches, main.go, flags. What is wanted is known from these alone, offline. */
  given: texts,
  /** Inputs that the machine and its archive brought: source and compiler versions. */
  found: texts,
  /** What a user of the entry wants to know of it without running it. */
  facts: texts,
  /** Every file of the entry by name. */
  files: v.record(v.string(), v.object({ sha256: v.string(), bytes: v.number() })),
  builtAt: v.string(),
});
export type Manifest = Readonly<v.InferOutput<typeof manifestSchema>>;

export interface Entry {
  readonly folder: string;
  readonly manifest: Manifest;
}

/** The folders of a cache, named once. */
export function cachePaths(cacheDir: string) {
  return {
    lock: path.join(cacheDir, 'lock'),
    /** Finished artefacts, one folder `KIND-KEY` each. */
    artefacts: path.join(cacheDir, 'artefacts'),
    /** Source packages as they were downloaded. */
    downloads: path.join(cacheDir, 'downloads'),
    /** Prepared source trees, one GOPATH each. */
    source: path.join(cacheDir, 'source'),
    /** The Go compiler's own cache. */
    goBuild: path.join(cacheDir, 'go-build'),
    /** Lists and configuration of the private apt. */
    apt: path.join(cacheDir, 'apt'),
    log: path.join(cacheDir, 'log'),
    /** Everything unfinished; emptied by the next run. */
    tmp: path.join(cacheDir, 'tmp'),
  };
}

/** The name of an entry: its kind and the hash of all its inputs. */
export function entryName(kind: string, given: Inputs, found: Inputs): string {
  const key = hashInputs({ given: hashInputs(given), found: hashInputs(found) });
  return `${kind}-${key.slice(0, 32)}`;
}

/** The entries of a kind that were made from these given inputs, the newest first. Unreadable ones are left out. */
export function findEntries(cacheDir: string, kind: string, given: Inputs): Entry[] {
  const wanted = hashInputs(given);
  return listEntries(cacheDir, kind).filter(({ manifest }) => hashInputs(manifest.given) === wanted);
}

/**
 * Compares every file of an entry with its manifest, unless it is among `checked`.
 * Throws DATA_LOSS that names the first file that is missing or not what was built.
 */
export async function checkEntry(entry: Entry, signal: AbortSignal, checked?: CheckedFiles): Promise<void> {
  for (const [name, { sha256, bytes }] of Object.entries(entry.manifest.files)) {
    const file = path.join(entry.folder, name);
    let actualBytes: number;
    try {
      actualBytes = statSync(file).size;
    } catch (cause) {
      throw new HamletError('DATA_LOSS', `${file} is gone`, { cause });
    }
    const compare = async (): Promise<void> => {
      if (actualBytes === bytes && (await hashFile(file, signal)) === sha256) return;
      throw new HamletError('DATA_LOSS', `${file} is not what was built: its SHA-256 differs`);
    };
    if (checked === undefined) await compare();
    else if (!checked.has(file)) await checked.check(file, compare);
  }
}

/**
 * Makes an entry of the files in `folder`, which has to lie below the cache's `tmp`: everything is on disk before the
 * one rename that makes the entry visible, so a cut at any point leaves a whole entry or none.
 */
export async function putEntry(
  cacheDir: string,
  kind: string,
  folder: string,
  parts: Pick<Manifest, 'given' | 'found' | 'facts'>,
  signal: AbortSignal,
): Promise<Entry> {
  const files: Record<string, { sha256: string; bytes: number }> = {};
  for (const name of readdirSync(folder)) {
    const file = path.join(folder, name);
    files[name] = { sha256: await hashFile(file, signal), bytes: statSync(file).size };
    syncPath(file);
  }
  const manifest: Manifest = { ...parts, files, builtAt: new Date().toISOString() };
  writeFileAtomic(path.join(folder, manifestName), `${JSON.stringify(manifest, undefined, 2)}\n`, 0o644);
  syncPath(folder);

  const { artefacts } = cachePaths(cacheDir);
  const place = path.join(artefacts, entryName(kind, parts.given, parts.found));
  mkdirSync(artefacts, { recursive: true });
  removeFolder(cacheDir, place);
  renameSync(folder, place);
  syncPath(artefacts);
  removeOld(cacheDir, kind);
  return { folder: place, manifest };
}

/** Takes the oldest entries of a kind away, but none that a node is running from: it will have to start it again. */
function removeOld(cacheDir: string, kind: string): void {
  const old = listEntries(cacheDir, kind).slice(keptEntries);
  if (old.length === 0) return;
  const inUse = new Set([...programsInUse()].map((file) => path.dirname(file)));
  for (const { folder } of old) if (!inUse.has(realpathSync(folder))) removeFolder(cacheDir, folder);
}

/** Takes a folder of the cache away in one step: never half of it is left under its name. */
export function removeFolder(cacheDir: string, folder: string): void {
  if (!existsSync(folder)) return;
  const away = temporaryFolder(cacheDir);
  renameSync(folder, path.join(away, 'old'));
  rmSync(away, { recursive: true });
}

/** A new folder below the cache's `tmp`. */
export function temporaryFolder(cacheDir: string): string {
  const folder = path.join(cachePaths(cacheDir).tmp, randomUUID());
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Writes what a file or folder holds to the disk. */
export function syncPath(file: string): void {
  const fd = openSync(file, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function listEntries(cacheDir: string, kind: string): Entry[] {
  const { artefacts } = cachePaths(cacheDir);
  return readFolder(artefacts)
    .filter((name) => name.startsWith(`${kind}-`))
    .map((name) => path.join(artefacts, name))
    .flatMap((folder) => {
      const manifest = readManifest(path.join(folder, manifestName));
      return manifest === undefined ? [] : [{ folder, manifest }];
    })
    .sort((a, b) => (a.manifest.builtAt < b.manifest.builtAt ? 1 : -1));
}

function readFolder(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Undefined for a manifest that cannot be understood: its entry counts as not there, and is built anew. */
function readManifest(file: string): Manifest | undefined {
  try {
    return v.parse(manifestSchema, JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return undefined;
  }
}
