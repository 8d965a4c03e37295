import { realpathSync } from 'node:fs';
import type { Config } from '../../platform/config.js';
import { listMounts, mountsBelow, type Mount } from '../mounts.js';
import { run } from './command.js';
import { count, type Kind } from './kind.js';

/** Mount points that go into one command line; a path has at most 4,096 bytes, a command line 2 MB. */
const mountsPerCommand = 200;

/** The mounts of containers and volumes, and the components' secrets. */
export function mounts(config: Config): Kind {
  return {
    name: 'mounts',
    find: () => count(nodeMounts(config).length, 'mount') || undefined,
    async remove(signal) {
      const failed = await unmount(() => nodeMounts(config).map(({ point }) => point), signal);
      return { failed };
    },
  };
}

/**
 * Takes mounts away, the last made first. `find` says which there are at the moment. A mount that is in use is taken
 * out of sight and ends with its last user. Returns what stays, in words.
 */
export async function unmount(find: () => readonly string[], signal: AbortSignal): Promise<string[]> {
  // One run does for all, unless one of them is in use or its file system does not answer.
  for (let points = find(); points.length > 0; points = points.slice(mountsPerCommand)) {
    signal.throwIfAborted();
    await run('umount', points.slice(0, mountsPerCommand));
  }
  const failed: string[] = [];
  for (const point of find()) {
    signal.throwIfAborted();
    const { code, complaint } = await run('umount', ['--lazy', point]);
    if (code !== 0 && find().includes(point)) {
      failed.push(`${point} cannot be unmounted: ${complaint}; unmount it and run the reset again`);
    }
  }
  return failed;
}

/**
 * What the components mount: all below the run-time folder, and below the kubelet's and containerd's. A folder of the
 * configuration that is a mount point itself was made one by somebody else, and stays.
 */
export function nodeMounts(config: Config): Mount[] {
  const { run: runFolder, kubelet, containerd, state, etcd, images, cni } = config.paths;
  const given = new Set([runFolder, kubelet, containerd, state, etcd, images, cni].map(realPath));
  const all = listMounts();
  const found = new Map<number, Mount>();
  for (const folder of [runFolder, kubelet, containerd]) {
    for (const mount of mountsBelow(realPath(folder))) {
      if (!given.has(mount.point) || isBindOfItself(mount, all)) found.set(mount.id, mount);
    }
  }
  return [...found.values()].sort((a, b) => b.point.length - a.point.length || b.id - a.id);
}

/** The kubelet mounts its folder onto itself, to be able to share the mounts below it with its pods. */
function isBindOfItself({ parent, device, root, point }: Mount, all: readonly Mount[]): boolean {
  const below = all.find(({ id }) => id === parent);
  if (below?.device !== device) return false;
  const join = (folder: string, rest: string) =>
    `${folder}/${rest}`.replace(/\/+/g, '/').replace(/(.)\/$/, '$1');
  return root === join(below.root, point.slice(below.point === '/' ? 0 : below.point.length));
}

function realPath(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return folder;
  }
}
