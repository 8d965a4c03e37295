import { createHash } from 'node:crypto';
import { tarArchive, type TarEntry } from './tar.js';

/** What a container runtime is told about an image (the "config" of the OCI image specification, config.md). */
export interface ImageConfig {
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
}

/** Node's architecture names, and Go's, which images use. */
const goArchitectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/**
 * An image of one layer as an archive that `docker save` would write and containerd imports: `manifest.json`, the
 * configuration named by its hash, the layer. The same arguments always give the same bytes.
 */
export function imageArchive(ref: string, config: ImageConfig, entries: readonly TarEntry[]): Buffer {
  const layer = tarArchive(entries);
  const configJson = JSON.stringify({
    architecture: goArchitectures[process.arch] ?? process.arch,
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config,
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
    history: [{ created: '1970-01-01T00:00:00Z' }],
  });
  const configName = `${sha256(configJson)}.json`;
  const manifest = [{ Config: configName, RepoTags: [ref], Layers: ['layer.tar'] }];
  const file = (name: string, data: string | Buffer): TarEntry => ({
    type: 'file',
    name,
    mode: 0o644,
    data: Buffer.from(data),
  });
  return tarArchive([
    file('manifest.json', JSON.stringify(manifest)),
    file(configName, configJson),
    file('layer.tar', layer),
  ]);
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
