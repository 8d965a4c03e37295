import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Test } from 'tap';
import { loadConfig } from '../../src/platform/config.js';
import { DebianProvider } from '../../src/provision/debian-provider.js';
import { goEnvironment } from '../../src/provision/go.js';
import { silentProgress } from '../../src/provision/progress.js';
import { kubeBuildTags } from '../../src/provision/recipes.js';
import { kubernetesPackage } from '../../src/provision/source.js';
import { run, type Result } from '../node/support/hamlet.js';

const timeoutMs = 600_000;

/**
 * The tree that the node's kubelet is built from, for Go's own commands, with the flags of the build, so that what the
 * kubelet is made of is compiled already. Without what only a debugger reads, a program is linked in half the time.
 */
export interface GoTree {
  readonly folder: string;
  /** Runs `go test` with `words` on packages: their folders in the tree. */
  test(words: readonly string[], ...folders: string[]): Promise<Result>;
  /** Runs `go build` with `words` on a package: its folder in the tree. */
  build(words: readonly string[], folder: string): Promise<Result>;
}

/** The tree, until the test ends. */
export async function goTree(t: Test): Promise<GoTree> {
  const config = await loadConfig(process.env.HAMLET_CONFIG);
  const provider = new DebianProvider(config);
  const tree = await provider.source({ progress: silentProgress, signal: AbortSignal.timeout(timeoutMs) });
  // Not in the cache's own: a node that is started meanwhile clears it, for it waits for a build of ours only.
  const scratch = mkdtempSync(path.join(tmpdir(), 'hamlet-go-'));
  t.teardown(() => {
    rmSync(scratch, { recursive: true });
  });
  const env = {
    ...goEnvironment(config.components.cacheDir, tree.gopath),
    ...{ GOTMPDIR: scratch, HOME: scratch, TMPDIR: scratch },
  };
  const go = (command: string, words: readonly string[], folders: readonly string[]): Promise<Result> => {
    const flags = ['-trimpath', '-tags', kubeBuildTags, '-ldflags', '-s -w'];
    return run('go', [command, ...flags, ...words, ...folders.map(importPath)], { env });
  };
  return {
    folder: tree.folder,
    test: (words, ...folders) => go('test', words, folders),
    build: (words, folder) => go('build', words, [folder]),
  };
}

/** The name of a package by its folder: what lies in staging/src is imported by way of vendor/, which links there. */
export function importPath(folder: string): string {
  return `${kubernetesPackage}/${folder.replace(/^staging\/src\//, 'vendor/')}`;
}
