import { execFile } from 'node:child_process';
import { createReadStream, existsSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { HamletError, messageOf } from '../lib/errors.js';
import {
  isAtLeast,
  kubePrograms,
  parseKubernetesVersion,
  type Components,
  type KubeBinaries,
  type KubeProgram,
  type KubernetesVersion,
} from '../platform/components.js';
import { isProgram } from './machine-programs.js';
import { pauseArtefact } from './recipes.js';

const run = promisify(execFile);

/** The first release whose arguments Hamlet knows. */
const oldestRelease = { major: 1, minor: 20 };
/** The multi-call binary's name in the folder. */
const multicallName = 'kube';
/** `--version` takes 60 ms; a binary that hangs must not hang the start. */
const versionTimeoutMs = 10_000;
/**
 * Words by which Hamlet's own build is known, and which a script that starts a kubelet has no reason to have: of an error
 * that kubernetes/patches/0001 brings, and of the usage in kubernetes/main.go.
 */
const marks = {
  patches: 'needs the program mount(8)',
  rereads: 'takes a certificate that has changed within ten seconds',
} as const;
export type Mark = keyof typeof marks;
const readBytes = 1 << 20;

export interface OwnKubernetes {
  readonly kube: KubeBinaries;
  readonly version: KubernetesVersion;
}

export interface OwnOptions {
  /** Without kube-proxy its binary is not asked for. */
  readonly proxy: boolean;
  readonly signal: AbortSignal;
}

/**
 * Finds the Kubernetes binaries in a user's folder: one `kube` that is all of them by its first argument, or an
 * official release's separate ones. The version is what the binaries themselves say.
 * Throws FAILED_PRECONDITION that says which file is missing, cannot be run, or is of a release that does not fit.
 */
export async function findOwnKubernetes(dir: string, options: OwnOptions): Promise<OwnKubernetes> {
  if (!existsSync(dir)) throw unfit(`there is no folder ${dir}`);
  const multicall = path.join(dir, multicallName);
  if (isProgram(multicall)) {
    const version = await askVersion([multicall, 'kubelet'], options.signal);
    return { kube: { kind: 'multicall', path: multicall }, version };
  }

  const needed = kubePrograms.filter((name) => options.proxy || name !== 'kube-proxy');
  const missing = needed.filter((name) => !isProgram(path.join(dir, name)));
  if (missing.length > 0) {
    throw unfit(
      `${dir} has neither "${multicallName}" nor these that may be run: ${missing.join(', ')}` +
        (options.proxy ? '' : ' (kube-proxy is left out)'),
    );
  }
  const paths: Partial<Record<KubeProgram, string>> = Object.fromEntries(
    needed.map((name) => [name, path.join(dir, name)]),
  );
  const [apiserver, kubelet] = await Promise.all([
    askVersion([path.join(dir, 'kube-apiserver')], options.signal),
    askVersion([path.join(dir, 'kubelet')], options.signal),
  ]);
  if (apiserver.text !== kubelet.text) {
    throw unfit(
      `the binaries in ${dir} are of different releases: kube-apiserver ${apiserver.text}, kubelet ${kubelet.text}`,
    );
  }
  return { kube: { kind: 'separate', paths }, version: kubelet };
}

/** What a kubelet has of Hamlet's own build. Reads it through: about 0.1 s for 94 MB. */
export async function findMarks(kube: KubeBinaries, signal: AbortSignal): Promise<ReadonlySet<Mark>> {
  const found = new Set<Mark>();
  const file = kube.kind === 'multicall' ? kube.path : kube.paths.kubelet;
  if (file === undefined) return found;
  const longest = Math.max(...Object.values(marks).map(({ length }) => length));
  let end = Buffer.alloc(0);
  for await (const chunk of createReadStream(file, { highWaterMark: readBytes, signal })) {
    const bytes = Buffer.concat([end, chunk as Buffer]);
    for (const name of Object.keys(marks) as Mark[]) if (bytes.includes(marks[name])) found.add(name);
    end = bytes.subarray(-longest);
  }
  return found;
}

async function askVersion(
  command: readonly [string, ...string[]],
  signal: AbortSignal,
): Promise<KubernetesVersion> {
  const [file, ...args] = command;
  let output: string;
  try {
    const options = { signal, timeout: versionTimeoutMs, killSignal: 'SIGKILL' } as const;
    output = (await run(file, [...args, '--version'], options)).stdout;
  } catch (cause) {
    signal.throwIfAborted();
    throw unfit(`${file} --version cannot be run: ${firstLine(messageOf(cause))}`, cause);
  }
  const version = parseKubernetesVersion(output);
  if (version === undefined) {
    throw unfit(`${file} --version names no Kubernetes release; it printed "${firstLine(output)}"`);
  }
  if (!isAtLeast(version, oldestRelease.major, oldestRelease.minor)) {
    throw unfit(`${file} is ${version.text}; the oldest release that can be used is v1.20`);
  }
  return version;
}

/**
 * The pause image in a user's folder: `pause.tar`, whose own manifest names the image. Undefined when there is none.
 * Throws FAILED_PRECONDITION for an archive without a name.
 */
export async function findOwnPause(
  dir: string,
  signal: AbortSignal,
): Promise<Components['pauseImage'] | undefined> {
  const archive = path.join(dir, pauseArtefact.file);
  if (!existsSync(archive)) return undefined;
  const args = ['--extract', '--to-stdout', '--file', archive, 'manifest.json'];
  let manifest: string;
  try {
    manifest = (await run('tar', args, { signal })).stdout;
  } catch (cause) {
    signal.throwIfAborted();
    throw unfit(`${archive} is no image archive: ${firstLine(messageOf(cause))}`, cause);
  }
  const ref = /"RepoTags":\s*\[\s*"([^"]+)"/.exec(manifest)?.[1];
  if (ref === undefined) throw unfit(`${archive} holds no image with a name`);
  return { archive, ref };
}

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0] ?? '';
}

function unfit(message: string, cause?: unknown): HamletError {
  return new HamletError('FAILED_PRECONDITION', `components.dir: ${message}`, { cause });
}
