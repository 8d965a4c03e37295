import path from 'node:path';
import { fileInput, hashFile, listPatches, type Inputs } from './inputs.js';

/**
 * What the artefacts are made from as far as a checkout of Hamlet fixes it. A start compares this with what is in the
 * cache; how they are made is in source.ts, kube-build.ts and pause.ts, and whoever changes that counts the recipe up.
 */
const recipes = { tree: '1', kube: '1', pause: '1' };

/** The kinds of cache entries, and the file in each. */
export const kubeArtefact = { kind: 'kube', file: 'kube' } as const;
export const pauseArtefact = { kind: 'pause', file: 'pause.tar' } as const;

/** The release of the pause program in Kubernetes 1.20 (build/pause/Makefile). */
export const pauseVersion = '3.4';
export const pauseRef = `hamlet.internal/pause:${pauseVersion}`;

/**
 * Neither cloud providers nor dockershim: the kubelet does not wait for cloud metadata at its start, and the binary
 * is a third smaller.
 */
export const kubeBuildTags = 'providerless,dockerless';

/** The prepared source tree: the patches of `kubernetesFolder` (the checkout's kubernetes/) in their order. */
export async function givenTreeInputs(kubernetesFolder: string, signal: AbortSignal): Promise<Inputs> {
  const patches: string[] = [];
  for (const file of listPatches(path.join(kubernetesFolder, 'patches'))) {
    patches.push(`${path.basename(file)} ${await hashFile(file, signal)}`);
  }
  return { treeRecipe: recipes.tree, patches: patches.join('\n') };
}

/** The binary: the tree, main.go and how it is compiled. */
export async function givenKubeInputs(kubernetesFolder: string, signal: AbortSignal): Promise<Inputs> {
  return {
    ...(await givenTreeInputs(kubernetesFolder, signal)),
    ...fileInput(path.join(kubernetesFolder, 'main.go')),
    kubeRecipe: recipes.kube,
    tags: kubeBuildTags,
    arch: process.arch,
  };
}

/** The pause image. */
export function givenPauseInputs(): Inputs {
  return { pauseRecipe: recipes.pause, ref: pauseRef, arch: process.arch };
}
