import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { loadConfig } from '../../src/platform/config.js';
import { DebianProvider } from '../../src/provision/debian-provider.js';
import { goEnvironment } from '../../src/provision/go.js';
import { listPatches } from '../../src/provision/inputs.js';
import { silentProgress } from '../../src/provision/progress.js';
import { kubeBuildTags } from '../../src/provision/recipes.js';
import { kubernetesPackage } from '../../src/provision/source.js';
import { run } from '../node/support/hamlet.js';

const patches = listPatches(fileURLToPath(new URL('../../../kubernetes/patches', import.meta.url)));
const timeoutMs = 600_000;

/** The Go tests of every package that a patch brings tests to, in the tree that the node's kubelet is built from. */
void t.test('the Go tests of the patched packages', { timeout: timeoutMs }, async (t) => {
  const config = await loadConfig(process.env.HAMLET_CONFIG);
  const provider = new DebianProvider(config);
  const tree = await provider.source({ progress: silentProgress, signal: AbortSignal.timeout(timeoutMs) });
  // GOCACHE with the build's own flags: what the kubelet is made of is compiled already.
  const env = goEnvironment(config.components.cacheDir, tree.gopath);
  const flags = ['-trimpath', '-tags', kubeBuildTags, '-count=1', '-v'];

  t.not(patches.length, 0, 'there are patches');
  for (const patch of patches) {
    const packages = testedPackages(patch);
    t.not(packages.length, 0, `${path.basename(patch)} brings tests`);
    for (const name of packages) {
      t.ok(existsSync(path.join(tree.folder, name)), name);
      const { code, stdout, stderr } = await run('go', ['test', ...flags, importPath(name)], { env });
      const passed = stdout.match(/^--- PASS: /gm)?.length ?? 0;
      const skipped = stdout.match(/^\s*--- SKIP: .*$/gm) ?? [];
      t.ok(code === 0 && passed > 0, `${name}: ${passed} passed`, { output: `${stdout}${stderr}` });
      for (const line of skipped) t.comment(line.trim());
    }
  }
});

/** The folders in which a patch adds or changes a test. */
function testedPackages(patch: string): string[] {
  const files = [...readFileSync(patch, 'utf8').matchAll(/^\+\+\+ b\/(.*_test\.go)$/gm)];
  return [...new Set(files.map(([, file = '']) => path.dirname(file)))];
}

/** What lies in staging/src is imported by way of vendor/, which links there. */
function importPath(folder: string): string {
  return `${kubernetesPackage}/${folder.replace(/^staging\/src\//, 'vendor/')}`;
}
