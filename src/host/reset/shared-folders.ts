import { existsSync, lstatSync, rmSync, rmdirSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../platform/config.js';
import { count, type Kind } from './kind.js';
import { otherKubernetes } from './processes.js';
import { list, readTraces } from './traces.js';

/** Where runc has the state of containers, under containerd's namespace; not below containerd's own folder. */
const runcState = '/run/containerd/runc';
/** The kubelet of some releases has this here whatever its root folder is (pluginapi.DevicePluginPath). */
const devicePlugins = '/var/lib/kubelet/device-plugins';
const devicePluginFiles = ['DEPRECATION', 'kubelet.sock', 'kubelet_internal_checkpoint'];

/** Folders that the components make, and other software that uses the same programs as well. */
const ofContainers = ['/run/containerd', '/run/netns', '/var/lib/cni'];
const ofKubelets = ['/var/lib/kubelet', '/var/log/pods', '/var/log/containers'];

/** What the components put into folders that belong to no one program, and those folders when nothing is left in them. */
export function sharedFolders(config: Config): Kind {
  return {
    name: 'shared folders',
    find() {
      const { files, folders } = findShared(config);
      if (files.length + folders.length === 0) return undefined;
      const places = [...new Set([...files, ...folders].map((file) => placeOf(file) ?? path.dirname(file)))];
      return `${count(files.length + folders.length, 'entry', 'entries')} in ${places.join(', ')}`;
    },
    remove() {
      const { files } = findShared(config);
      for (const file of files) rmSync(file, { recursive: true, force: true });
      for (const file of files) removeEmptyParents(file);
      for (const folder of findShared(config).folders) removeEmpty(folder);
      return {};
    },
  };
}

function findShared(config: Config) {
  const traces = readTraces(config);
  const runcNamespaces = list(runcState).map((namespace) => path.join(runcState, namespace));
  const runc = runcNamespaces.flatMap((folder) =>
    [...traces.containerIds].map((id) => path.join(folder, id)),
  );
  const isAlone = otherKubernetes(config, traces) === undefined;
  const plugins = isAlone ? devicePluginFiles.map((name) => path.join(devicePlugins, name)) : [];
  const roots = isAlone ? [...ofContainers, ...ofKubelets] : ofContainers;
  return {
    files: [...traces.shimSockets, ...traces.cniResults, ...runc, ...plugins].filter((file) =>
      existsSync(file),
    ),
    folders: roots.filter((root) => existsSync(root) && isEmptyTree(root)),
  };
}

/** Whether there are only folders in it: whoever else uses it has at least one file there. */
function isEmptyTree(folder: string): boolean {
  return list(folder).every((name) => {
    const entry = path.join(folder, name);
    return lstatSync(entry, { throwIfNoEntry: false })?.isDirectory() !== false && isEmptyTree(entry);
  });
}

function removeEmpty(folder: string): void {
  for (const name of list(folder)) removeEmpty(path.join(folder, name));
  removeFolder(folder);
}

/** The folders above a file that are empty without it, as far as they are nobody's in particular. */
function removeEmptyParents(file: string): void {
  for (let folder = path.dirname(file); placeOf(folder) !== undefined; folder = path.dirname(folder)) {
    if (!removeFolder(folder)) return;
  }
}

function removeFolder(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch {
    // There is something in it, or it is a mount point: then somebody needs it.
    return false;
  }
}

function placeOf(file: string): string | undefined {
  return [...ofContainers, ...ofKubelets].find((place) => file === place || file.startsWith(`${place}/`));
}
