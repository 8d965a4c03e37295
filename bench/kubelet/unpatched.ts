import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../test/node/support/hamlet.js';
import { findEntries } from '../../src/provision/cache.js';
import { givenKubeInputs, kubeArtefact } from '../../src/provision/recipes.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const buildTimeoutMs = 1_800_000;

/**
 * The `kube` of the same source without the patches. It is built as any other: by the set-up of a checkout that has
 * none, which is made in `folder`.
 */
export async function unpatchedKube(folder: string, cacheDir: string): Promise<string> {
  const checkout = path.join(folder, 'checkout');
  mkdirSync(checkout, { recursive: true });
  for (const name of ['package.json', 'dist', 'kubernetes/main.go']) {
    cpSync(path.join(root, name), path.join(checkout, name), { recursive: true });
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(checkout, 'node_modules'));

  const kubernetes = path.join(checkout, 'kubernetes');
  const given = await givenKubeInputs(kubernetes, AbortSignal.timeout(buildTimeoutMs));
  const find = () => findEntries(cacheDir, kubeArtefact.kind, given)[0];
  if (find() === undefined) {
    process.stdout.write('building the unpatched kubelet\n');
    const { code, stderr } = await run(process.execPath, [path.join(checkout, 'dist/src/provision/main.js')]);
    if (code !== 0) throw new Error(`the unpatched kubelet could not be built:\n${stderr}`);
  }
  const entry = find();
  if (entry === undefined) throw new Error('the unpatched kubelet is not in the cache');
  return path.join(entry.folder, kubeArtefact.file);
}
