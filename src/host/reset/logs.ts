import { readFileSync, readlinkSync, rmSync } from 'node:fs';
import path from 'node:path';
import { errnoOf } from '../../lib/errors.js';
import type { Config } from '../../platform/config.js';
import { count, type Kind } from './kind.js';
import { list, readTraces } from './traces.js';

/** Where every kubelet has its pods' logs, and links to them (pkg/kubelet/kuberuntime). */
const podLogs = '/var/log/pods';
const containerLogs = '/var/log/containers';

/** The logs of the node's pods. */
export function logs(config: Config): Kind {
  return {
    name: 'pod logs',
    find: () => {
      const number = findLogs(config).length;
      return number === 0 ? undefined : `${count(number, 'folder')} in ${podLogs}`;
    },
    remove() {
      const folders = findLogs(config);
      const links = list(containerLogs).map((name) => path.join(containerLogs, name));
      for (const link of links) {
        const target = linkTarget(link);
        if (folders.some((folder) => target?.startsWith(`${folder}/`))) rmSync(link, { force: true });
      }
      for (const folder of folders) rmSync(folder, { recursive: true, force: true });
      return {};
    },
  };
}

/** Folders are called NAMESPACE_NAME_UID; a UID is never used twice. */
function findLogs(config: Config): string[] {
  const { podUids } = readTraces(config);
  const all = list(podLogs).map((name) => ({ name, uid: name.slice(name.lastIndexOf('_') + 1) }));
  const orphans = all.filter(({ uid }) => !podUids.has(uid)).map(({ uid }) => uid);
  // The kubelet leaves the logs of a deleted pod for up to a minute.
  const ours = new Set([...podUids, ...uidsInEtcd(config.paths.etcd, orphans)]);
  return all.filter(({ uid }) => ours.has(uid)).map(({ name }) => path.join(podLogs, name));
}

/**
 * Which of these UIDs the node's etcd has in its files: its write-ahead log and its database still hold the pods that
 * were deleted last, and the API server's encoding has a UID as plain text.
 */
function uidsInEtcd(dataFolder: string, uids: readonly string[]): string[] {
  if (uids.length === 0) return [];
  const member = path.join(dataFolder, 'member');
  const files = [
    ...list(path.join(member, 'wal')).map((name) => path.join(member, 'wal', name)),
    path.join(member, 'snap', 'db'),
  ];
  const found = new Set<string>();
  for (const file of files) {
    let bytes: Buffer;
    try {
      bytes = readFileSync(file);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') continue;
      throw error;
    }
    for (const uid of uids) if (bytes.includes(uid)) found.add(uid);
  }
  return [...found];
}

function linkTarget(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch {
    return undefined;
  }
}
