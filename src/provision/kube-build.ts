import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { putEntry, temporaryFolder, type Entry } from './cache.js';
import { runCommand } from './command.js';
import type { Downloads } from './downloads.js';
import { goEnvironment, withGoCache } from './go.js';
import { hashInputs } from './inputs.js';
import type { Report } from './progress.js';
import { givenKubeInputs, kubeArtefact, kubeBuildTags } from './recipes.js';
import { foundTreeInputs, kubernetesPackage, type SourceTree } from './source.js';

/** Both packages hold a version of their own; the node object shows client-go's. */
const versionPackages = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'];

export interface BuildOptions {
  readonly cacheDir: string;
  /** The checkout's kubernetes/ with main.go and patches/. */
  readonly kubernetesFolder: string;
  readonly downloads: Downloads;
  readonly tree: SourceTree;
  /** "go1.19.8". */
  readonly goVersion: string;
  readonly signal: AbortSignal;
  readonly report: Report;
}

/**
 * Compiles all of Kubernetes into one binary and puts it into the cache: minutes with an empty Go cache, half a minute
 * with a warm one. The same inputs give the same bytes.
 */
export async function buildKube(options: BuildOptions): Promise<Entry> {
  const { cacheDir, kubernetesFolder, tree, signal, report } = options;
  const given = await givenKubeInputs(kubernetesFolder, signal);
  const found = { ...foundTreeInputs(options.downloads), go: options.goVersion };
  const env = goEnvironment(cacheDir, tree.gopath);
  const command = `${kubernetesPackage}/cmd/kube`;

  // main.go has to lie within the tree for its vendored imports; an overlay leaves the tree as it is.
  const overlay = path.join(temporaryFolder(cacheDir), 'overlay.json');
  const mainGo = path.join(kubernetesFolder, 'main.go');
  writeFileSync(
    overlay,
    JSON.stringify({ Replace: { [path.join(tree.folder, 'cmd/kube/main.go')]: mainGo } }),
  );

  const flags = ['-overlay', overlay, '-tags', kubeBuildTags];
  const list = await runCommand(['go', 'list', ...flags, '-deps', command], {
    cwd: tree.folder,
    env,
    signal,
  });
  const total = list.trimEnd().split('\n').length;
  const output = temporaryFolder(cacheDir);
  const linkerFlags = versionFlags(tree.version, hashInputs({ ...given, ...found }).slice(0, 40));
  let compiled = 0;
  await withGoCache(cacheDir, () =>
    runCommand(
      [
        ...(['go', 'build', '-v', '-trimpath', ...flags] as const),
        ...[
          '-ldflags',
          `-s -w ${linkerFlags.join(' ')}`,
          '-o',
          path.join(output, kubeArtefact.file),
          command,
        ],
      ],
      {
        cwd: tree.folder,
        env,
        signal,
        // -v names each package that is compiled, and none that the Go cache has.
        onLine: () => {
          compiled += 1;
          report(compiled < total ? `${compiled} of at most ${total} packages` : 'linking');
        },
        advice: 'What was compiled is kept; when it is put right, run the command again.',
      },
    ),
  );
  const parts = { given, found, facts: { version: `v${tree.version}` } };
  return putEntry(cacheDir, kubeArtefact.kind, output, parts, signal);
}

/**
 * The version that the binary reports. There is no commit that this tree could name, so the hash of its inputs stands
 * in for one, with upstream's word for a tree that came without git.
 */
function versionFlags(version: string, inputsHash: string): string[] {
  const [major = '', minor = ''] = version.split('.');
  const values = {
    gitVersion: `v${version}`,
    gitMajor: major,
    gitMinor: minor,
    gitCommit: inputsHash,
    gitTreeState: 'archive',
    buildDate: '1970-01-01T00:00:00Z',
  };
  return versionPackages.flatMap((name) =>
    Object.entries(values).map(([key, value]) => `-X ${kubernetesPackage}/vendor/${name}.${key}=${value}`),
  );
}
