import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { listPatches } from '../../src/provision/inputs.js';
import { goTree } from './go.js';

const patches = listPatches(fileURLToPath(new URL('../../../kubernetes/patches', import.meta.url)));
const timeoutMs = 600_000;

/** The Go tests of every package that a patch brings tests to, in the tree that the node's kubelet is built from. */
void t.test('the Go tests of the patched packages', { timeout: timeoutMs }, async (t) => {
  const tree = await goTree();
  t.not(patches.length, 0, 'there are patches');
  for (const patch of patches) {
    const packages = testedPackages(patch);
    t.not(packages.length, 0, `${path.basename(patch)} brings tests`);
    for (const name of packages) {
      t.ok(existsSync(path.join(tree.folder, name)), name);
      const { code, stdout, stderr } = await tree.test(['-count=1', '-v'], name);
      const passed = stdout.match(/^--- PASS: /gm)?.length ?? 0;
      // A test's words come before its end.
      const skipped = stdout.matchAll(/^ +\S+:\d+: (.*)\n\s*--- SKIP: (\S+)/gm);
      t.ok(code === 0 && passed > 0, `${name}: ${passed} passed`, { output: `${stdout}${stderr}` });
      for (const [, reason = '', test = ''] of skipped) t.comment(`${test} is skipped: ${reason}`);
    }
  }
});

/** The folders in which a patch adds or changes a test. */
function testedPackages(patch: string): string[] {
  const files = [...readFileSync(patch, 'utf8').matchAll(/^\+\+\+ b\/(.*_test\.go)$/gm)];
  return [...new Set(files.map(([, file = '']) => path.dirname(file)))];
}
