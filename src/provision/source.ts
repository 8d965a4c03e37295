import { mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import path from 'node:path';
import { HamletError, isHamletError } from '../lib/errors.js';
import { writeFileAtomic } from '../lib/files.js';
import { cachePaths, removeFolder, syncPath, temporaryFolder } from './cache.js';
import { runCommand } from './command.js';
import { upstreamVersion, type Downloads, type SourcePackage } from './downloads.js';
import { goEnvironment, withGoCache } from './go.js';
import { hashInputs, listPatches, type Inputs } from './inputs.js';
import type { Report } from './progress.js';
import { givenTreeInputs } from './recipes.js';

/** A tree takes 280 MB: this checkout's and the one before it. */
const keptTrees = 2;
/** The last thing that is written into a tree. */
const completeMark = 'complete';
/** The import path of the tree within its GOPATH. */
export const kubernetesPackage = 'k8s.io/kubernetes';

/** A Kubernetes source tree that is ready to be compiled. */
export interface SourceTree {
  readonly gopath: string;
  /** `GOPATH/src/k8s.io/kubernetes`. */
  readonly folder: string;
  /** Upstream's version: "1.20.2". */
  readonly version: string;
}

/** What a tree is made of as far as the archive fixes it. */
export function foundTreeInputs(downloads: Downloads): Inputs {
  return { kubernetes: downloads.kubernetes.version, reflect2: downloads.reflect2.version };
}

export interface SourceOptions {
  readonly cacheDir: string;
  /** The checkout's kubernetes/ with its patches/. */
  readonly kubernetesFolder: string;
  readonly downloads: Downloads;
  readonly signal: AbortSignal;
}

/** The source tree for these downloads and patches if the cache has it. */
export async function findSource(options: SourceOptions): Promise<SourceTree | undefined> {
  const tree = await placeOf(options);
  if (statSync(path.join(tree.gopath, completeMark), { throwIfNoEntry: false }) === undefined)
    return undefined;
  utimesSync(tree.gopath, new Date(), new Date());
  return tree;
}

/**
 * Makes the source tree for these downloads and patches: unpacked, the vendored reflect2 exchanged, patched, the
 * OpenAPI definitions generated. Throws FAILED_PRECONDITION that names a patch which does not apply.
 */
export async function prepareSource(options: SourceOptions, report: Report): Promise<SourceTree> {
  const { cacheDir, downloads, signal } = options;
  const tree = await placeOf(options);
  const gopath = temporaryFolder(cacheDir);
  const { folder } = treeAt(gopath, tree.version);
  report('unpacking');
  await unpack(downloads.kubernetes, folder, signal);
  report('exchanging reflect2');
  await exchangeReflect2(downloads.reflect2, folder, cacheDir, signal);
  for (const patch of listPatches(path.join(options.kubernetesFolder, 'patches'))) {
    report(path.basename(patch));
    await applyPatch(patch, folder, tree.version, signal);
  }
  report('generating the OpenAPI definitions');
  await withGoCache(cacheDir, () => generateOpenApi(cacheDir, gopath, folder, signal));

  report('writing to disk');
  // Twenty thousand files: one call for the file system is much faster than one for each.
  await runCommand(['sync', '--file-system', gopath], { signal });
  writeFileAtomic(path.join(gopath, completeMark), '', 0o644);
  const trees = cachePaths(cacheDir).source;
  mkdirSync(trees, { recursive: true });
  removeFolder(cacheDir, tree.gopath);
  renameSync(gopath, tree.gopath);
  syncPath(trees);
  removeOldTrees(cacheDir, trees);
  return tree;
}

async function placeOf({
  cacheDir,
  kubernetesFolder,
  downloads,
  signal,
}: SourceOptions): Promise<SourceTree> {
  const given = await givenTreeInputs(kubernetesFolder, signal);
  const key = hashInputs({ ...given, ...foundTreeInputs(downloads) }).slice(0, 32);
  const version = upstreamVersion(downloads.kubernetes.version);
  return treeAt(path.join(cachePaths(cacheDir).source, key), version);
}

function treeAt(gopath: string, version: string): SourceTree {
  return { gopath, folder: path.join(gopath, 'src', kubernetesPackage), version };
}

/** dpkg-source checks the files against the .dsc and applies Debian's own patches. */
async function unpack(source: SourcePackage, folder: string, signal: AbortSignal): Promise<void> {
  mkdirSync(path.dirname(folder), { recursive: true });
  await runCommand(['dpkg-source', '--extract', source.dsc, folder], { signal });
  // The copies that Debian keeps for taking its patches back.
  rmSync(path.join(folder, '.pc'), { recursive: true, force: true });
}

/**
 * The vendored reflect2 1.0.1 reaches into a map iteration that changed with Go 1.18: under Go 1.19 the API server
 * dies as soon as it encodes an unstructured map. 1.0.2 follows the change and is the same otherwise.
 */
async function exchangeReflect2(
  source: SourcePackage,
  tree: string,
  cacheDir: string,
  signal: AbortSignal,
): Promise<void> {
  const unpacked = path.join(temporaryFolder(cacheDir), 'reflect2');
  await unpack(source, unpacked, signal);
  const vendored = path.join(tree, 'vendor/github.com/modern-go/reflect2');
  for (const name of readdirSync(vendored).filter(isCode)) rmSync(path.join(vendored, name));
  for (const name of readdirSync(unpacked).filter(isCode)) {
    await copyFile(path.join(unpacked, name), path.join(vendored, name));
  }
}

function isCode(name: string): boolean {
  return /\.(go|s)$/.test(name) && !name.endsWith('_test.go');
}

async function applyPatch(file: string, tree: string, version: string, signal: AbortSignal): Promise<void> {
  const flags = ['--strip=1', '--batch', '--forward', '--no-backup-if-mismatch', '--silent'];
  try {
    await runCommand(['patch', ...flags, `--input=${file}`], { cwd: tree, signal });
  } catch (cause) {
    if (!isHamletError(cause, 'ABORTED')) throw cause;
    throw new HamletError(
      'FAILED_PRECONDITION',
      `the patch ${file} does not apply to Kubernetes ${version} after those before it`,
      { cause },
    );
  }
}

/**
 * Makes pkg/generated/openapi/zz_generated.openapi.go, which upstream does not ship: the generator runs over every
 * package that asks for it, except those of the examples (Makefile.generated_files, KUBE_OPENAPI_TAG_FILES).
 */
async function generateOpenApi(
  cacheDir: string,
  gopath: string,
  tree: string,
  signal: AbortSignal,
): Promise<void> {
  const env = goEnvironment(cacheDir, gopath);
  const scratch = temporaryFolder(cacheDir);
  const generator = path.join(scratch, 'openapi-gen');
  const generatorPackage = `${kubernetesPackage}/vendor/k8s.io/kube-openapi/cmd/openapi-gen`;
  await runCommand(['go', 'build', '-trimpath', '-o', generator, generatorPackage], {
    cwd: tree,
    env,
    signal,
  });
  const goroot = (await runCommand(['go', 'env', 'GOROOT'], { env, signal })).trim();
  await runCommand(
    [
      generator,
      ...['--output-file-base', 'zz_generated.openapi'],
      ...['--output-package', `${kubernetesPackage}/pkg/generated/openapi`],
      ...['--output-base', path.join(gopath, 'src')],
      ...['--go-header-file', path.join(tree, 'hack/boilerplate/boilerplate.generatego.txt')],
      ...['--report-filename', path.join(scratch, 'violations')],
      ...['--input-dirs', (await openApiPackages(tree, signal)).join(',')],
    ],
    // A program built with -trimpath does not know where the standard library lies.
    { cwd: tree, env: { ...env, GOROOT: goroot }, signal },
  );
}

async function openApiPackages(tree: string, signal: AbortSignal): Promise<string[]> {
  const output = await runCommand(
    [
      'grep',
      ...['-rlE', '--include=*.go', '^[[:space:]]*//[[:space:]]*\\+k8s:openapi-gen='],
      ...['pkg', 'cmd', 'plugin', 'staging/src'],
    ],
    { cwd: tree, signal },
  );
  const folders = output
    .split('\n')
    .filter((file) => file !== '')
    .map((file) => path.dirname(file).replace(/^staging\/src\//, 'vendor/'))
    .filter((folder) => !/^vendor\/k8s\.io\/(code-generator|sample-apiserver)\//.test(folder));
  return [...new Set(folders)].sort().map((folder) => `${kubernetesPackage}/${folder}`);
}

function removeOldTrees(cacheDir: string, trees: string): void {
  const byAge = readdirSync(trees)
    .map((name) => path.join(trees, name))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  for (const old of byAge.slice(keptTrees)) removeFolder(cacheDir, old);
}
