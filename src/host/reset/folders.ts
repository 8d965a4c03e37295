import { existsSync, lstatSync, realpathSync, rmSync, rmdirSync } from 'node:fs';
import path from 'node:path';
import { errnoOf, messageOf } from '../../lib/errors.js';
import type { Config } from '../../platform/config.js';
import { historyFile, runPaths } from '../../platform/paths.js';
import { listMounts } from '../mounts.js';
import { sysctlsFile } from '../sysctls.js';
import { count, joined, type Kind, type Outcome } from './kind.js';
import { removeTree } from './remove-tree.js';
import { diskUsage, formatBytes } from './size.js';
import { list, tracesFile } from './traces.js';

/** A folder of the configuration. */
interface Folder {
  readonly path: string;
  /** What Hamlet and its components put into it, by name. Nothing else is touched: a person chose the folder. */
  readonly entries: ReadonlySet<string> | 'all';
  /** What is needed to the end; see removeRecords and reset.ts. */
  readonly kept: ReadonlySet<string>;
  /** Whether it was there before the node and stays when it is empty. */
  readonly stays: boolean;
}

/** A file system's own. */
const ofFileSystem = 'lost+found';
/** What is left of a file that was being put in its place when the power went (src/lib/files.ts), once with a number. */
const temporaryName = /^\.(.+?)(?:\.\d+)?\.tmp$/;
const imageArchive = /\.(tar|tar\.gz|tgz)$/;

/** The node's state: its identity, its cluster, its images. */
export function stateFolders(config: Config): Kind {
  const { state, etcd, containerd, kubelet, kubeletPki, images, cni } = config.paths;
  const isInState = (folder: string) => folder.startsWith(`${state}/`);
  const apart = [etcd, containerd, kubelet].filter((folder) => !isInState(folder));
  const entries = new Set([
    ...[etcd, containerd, kubelet, kubeletPki, images, cni]
      .filter(isInState)
      .map((folder) => firstPart(state, folder)),
    'audit.jsonl',
    'audit.jsonl.1',
    'kube.apiserver.credentials',
    'refused-audit.jsonl',
    'refused-audit.jsonl.1',
    'logs',
    'node.key',
    'runs.json',
    path.basename(historyFile(state)),
    'starts',
  ]);
  const folders: Folder[] = [
    ...apart.map((folder) => ({
      path: folder,
      entries: 'all' as const,
      kept: new Set<string>(),
      stays: wasThere(folder, config),
    })),
    { path: state, entries, kept: new Set(records(config)), stays: wasThere(state, config) },
  ];
  return folderKind('state', folders, () => {
    const archives = list(images).filter((name) => imageArchive.test(name));
    const bytes = archives.reduce((sum, name) => sum + diskUsage(path.join(images, name), new Set()), 0);
    return archives.length === 0
      ? ''
      : `with ${count(archives.length, 'image archive')} of ${formatBytes(bytes)}`;
  });
}

/** What is only needed while the node runs, but for the lock. */
export function runFolder(config: Config): Kind {
  const { run } = config.paths;
  const paths = runPaths(run);
  const inRun = Object.values(paths).map((file) => path.basename(file));
  const ofComponents = ['admission.json', 'kubelet.json', 'kube-proxy.json', 'volume-plugins'];
  const folder: Folder = {
    path: run,
    entries: new Set([...inRun, ...ofComponents]),
    kept: new Set([path.basename(paths.lock)]),
    stays: wasThere(run, config),
  };
  return folderKind('run-time files', [folder], () => '');
}

/** The last step: takes away what a second reset would have needed, and the state folder. */
export function removeRecords(config: Config): void {
  const { state } = config.paths;
  for (const name of records(config)) rmSync(path.join(state, name), { force: true });
  if (existsSync(state) && !wasThere(state, config)) removeEmptyFolder(state);
}

function folderKind(name: string, folders: readonly Folder[], remark: () => string): Kind {
  return {
    name,
    find() {
      const mountPoints = readMountPoints();
      const sizes = folders.flatMap((folder) => {
        const found = entriesOf(folder);
        const bytes = found.reduce((sum, entry) => sum + diskUsage(entry, mountPoints), 0);
        return found.length === 0 ? [] : [`${folder.path} (${formatBytes(bytes)})`];
      });
      return joined(...sizes, remark());
    },
    remove(signal) {
      const outcomes = folders
        .filter((folder) => existsSync(folder.path))
        .map((folder) => empty(folder, signal));
      return {
        left: outcomes.flatMap(({ left = [] }) => left),
        failed: outcomes.flatMap(({ failed = [] }) => failed),
      };
    },
  };
}

function empty(folder: Folder, signal: AbortSignal): Outcome {
  const failed: string[] = [];
  for (const entry of entriesOf(folder)) {
    signal.throwIfAborted();
    failed.push(...removeTree(entry, readMountPoints()));
  }
  if (failed.length > 0) return { failed };
  const foreign = list(folder.path).filter((name) => name !== ofFileSystem && !folder.kept.has(name));
  if (foreign.length > 0) {
    return { left: [`${folder.path}, because of ${foreign.join(', ')} in it, which the node did not make`] };
  }
  return { failed: folder.stays || folder.kept.size > 0 ? [] : removeEmptyFolder(folder.path) };
}

/** The entries of a folder that are the node's, by their real paths, as the table of mounts has them. */
function entriesOf({ path: place, entries, kept }: Folder): string[] {
  const isOurs = (name: string): boolean => entries === 'all' || entries.has(name) || kept.has(name);
  const names = list(place).filter((name) => name !== ofFileSystem && !kept.has(name));
  return names
    .filter((name) => isOurs(name) || isOurs(temporaryName.exec(name)?.[1] ?? ''))
    .map((name) => path.join(realpathSync(place), name));
}

function removeEmptyFolder(folder: string): string[] {
  try {
    rmdirSync(folder);
    return [];
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTEMPTY') return [];
    return [`${folder} cannot be deleted: ${messageOf(error)}`];
  }
}

/** A mount point, a link and a folder of the appliance's image were there before the node. */
function wasThere(folder: string, { layout, paths }: Config): boolean {
  if (!existsSync(folder)) return false;
  if (layout === 'appliance' && folder !== paths.run) return true;
  return lstatSync(folder).isSymbolicLink() || readMountPoints().has(realpathSync(folder));
}

function records(config: Config): string[] {
  return [sysctlsFile(config), tracesFile(config)].map((file) => path.basename(file));
}

function firstPart(base: string, file: string): string {
  return path.relative(base, file).split('/')[0] ?? '';
}

function readMountPoints(): ReadonlySet<string> {
  return new Set(listMounts().map(({ point }) => point));
}
