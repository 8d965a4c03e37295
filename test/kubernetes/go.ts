import { loadConfig } from '../../src/platform/config.js';
import { DebianProvider } from '../../src/provision/debian-provider.js';
import { goEnvironment } from '../../src/provision/go.js';
import { silentProgress } from '../../src/provision/progress.js';
import { kubeBuildTags } from '../../src/provision/recipes.js';
import { kubernetesPackage } from '../../src/provision/source.js';
import { run, type Result } from '../node/support/hamlet.js';

const timeoutMs = 600_000;

/** The tree that the node's kubelet is built from, for Go's own commands. */
export interface GoTree {
  readonly folder: string;
  /**
   * Runs `go test` with the flags of the build, so that what the kubelet is made of is compiled already, and with
   * `words`, on packages: their folders in the tree. Without what only a debugger reads, they are linked in half the
   * time.
   */
  test(words: readonly string[], ...folders: string[]): Promise<Result>;
}

export async function goTree(): Promise<GoTree> {
  const config = await loadConfig(process.env.HAMLET_CONFIG);
  const provider = new DebianProvider(config);
  const tree = await provider.source({ progress: silentProgress, signal: AbortSignal.timeout(timeoutMs) });
  const env = goEnvironment(config.components.cacheDir, tree.gopath);
  return {
    folder: tree.folder,
    test: (words, ...folders) => {
      const flags = ['-trimpath', '-tags', kubeBuildTags, '-ldflags', '-s -w'];
      return run('go', ['test', ...flags, ...words, ...folders.map(importPath)], { env });
    },
  };
}

/** The name of a package by its folder: what lies in staging/src is imported by way of vendor/, which links there. */
export function importPath(folder: string): string {
  return `${kubernetesPackage}/${folder.replace(/^staging\/src\//, 'vendor/')}`;
}
