import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { listPatches } from '../../src/provision/inputs.js';
import { goTree, importPath } from './go.js';

const patches = listPatches(fileURLToPath(new URL('../../../kubernetes/patches', import.meta.url)));
const timeoutMs = 600_000;

/** What `go test -json` writes, a line for each (`go doc test2json`). */
interface GoEvent {
  readonly Action: string;
  readonly Package?: string;
  /** A subtest has the name of its parent before its own, behind a slash. */
  readonly Test?: string;
  readonly Output?: string;
}

/** The Go tests of every package that a patch brings tests to, in the tree that the node's kubelet is built from. */
void t.test('the Go tests of the patched packages', { timeout: timeoutMs }, async (t) => {
  const tree = await goTree(t);
  t.not(patches.length, 0, 'there are patches');
  const folders = new Set<string>();
  for (const patch of patches) {
    const tested = testedPackages(patch);
    t.not(tested.length, 0, `${path.basename(patch)} brings tests`);
    for (const folder of tested) {
      t.ok(existsSync(path.join(tree.folder, folder)), folder);
      folders.add(folder);
    }
  }
  // All at once: one is linked while another's tests wait.
  const { code, stdout, stderr } = await tree.test(['-count=1', '-json'], ...folders);
  t.equal(code, 0, 'go test', { output: stderr });
  const events = eventsOf(stdout);
  for (const folder of folders) {
    const own = events.filter((event) => event.Package === importPath(folder));
    const tests = own.filter(({ Test: test }) => test !== undefined && !test.includes('/'));
    const passed = tests.filter(({ Action: action }) => action === 'pass').length;
    const ended = own.some(({ Action: action, Test: test }) => action === 'pass' && test === undefined);
    t.ok(ended && passed > 0, `${folder}: ${passed} passed`, { output: outputOf(own) });
    for (const { Action: action, Test: test } of own) {
      if (action !== 'skip' || test === undefined) continue;
      t.comment(`${test} is skipped: ${outputOf(own.filter((event) => event.Test === test))}`);
    }
  }
});

/** The folders in which a patch adds or changes a test. */
function testedPackages(patch: string): string[] {
  const files = [...readFileSync(patch, 'utf8').matchAll(/^\+\+\+ b\/(.*_test\.go)$/gm)];
  return [...new Set(files.map(([, file = '']) => path.dirname(file)))];
}

function eventsOf(stdout: string): GoEvent[] {
  // Of a package that does not compile there is also text.
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as GoEvent);
}

function outputOf(events: readonly GoEvent[]): string {
  return events.map(({ Output: output = '' }) => output).join('');
}
