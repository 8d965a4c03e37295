import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../../src/platform/config.js';
import { DebianProvider } from '../../src/provision/debian-provider.js';
import { goEnvironment } from '../../src/provision/go.js';
import { silentProgress } from '../../src/provision/progress.js';
import { kubeBuildTags } from '../../src/provision/recipes.js';
import { kubernetesPackage } from '../../src/provision/source.js';
import { run } from '../../test/node/support/hamlet.js';

const benchmark = fileURLToPath(new URL('../../../bench/kubelet/mount_bench_test.go', import.meta.url));
const timeoutMs = 600_000;

/**
 * Mounts and unmounts per second of the kubelet's own mounter, by kind of mount, without anything else of the kubelet:
 * by the programs, as unpatched, and by system call. `folder` is for scratch files.
 */
export async function mountsPerSecond(
  config: Config,
  by: 'program' | 'syscall',
  folder: string,
): Promise<Map<string, number>> {
  const signal = AbortSignal.timeout(timeoutMs);
  const tree = await new DebianProvider(config).source({ progress: silentProgress, signal });
  const overlay = path.join(folder, 'overlay.json');
  const place = path.join(tree.folder, 'staging/src/k8s.io/mount-utils/mount_bench_test.go');
  // vet does not know overlays. The package is compiled by the way of vendor/, a link to staging/.
  const vendored = path.join(tree.folder, 'vendor/k8s.io/mount-utils/mount_bench_test.go');
  writeFileSync(overlay, JSON.stringify({ Replace: { [place]: benchmark, [vendored]: benchmark } }));
  const env = { ...goEnvironment(config.components.cacheDir, tree.gopath), KUBELET_MOUNT_BY: by };
  const flags = ['-trimpath', '-tags', kubeBuildTags, '-vet=off', '-overlay', overlay];
  const words = [
    'test',
    ...flags,
    '-run',
    '^$',
    '-bench',
    'Mounts',
    `${kubernetesPackage}/vendor/k8s.io/mount-utils`,
  ];
  const { code, stdout, stderr } = await run('go', words, { env });
  if (code !== 0) throw new Error(`the benchmark of mounts failed:\n${stdout}${stderr}`);
  // "BenchmarkMounts/bind-2   100   1234567 ns/op"
  const lines = stdout.matchAll(/^BenchmarkMounts\/(\w+)\S*\s+\d+\s+([\d.]+) ns\/op/gm);
  return new Map([...lines].map(([, kind = '', ns = '']) => [kind, 1e9 / Number(ns)]));
}
