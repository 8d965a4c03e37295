import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import path from 'node:path';
import { errnoOf, isHamletError, messageOf } from '../../lib/errors.js';
import { sleep } from '../../lib/time.js';
import type { Config } from '../../platform/config.js';
import { listMounts } from '../mounts.js';
import { run } from './command.js';
import { count, type Kind } from './kind.js';
import { isPodCgroup, otherKubernetes } from './processes.js';
import { readTraces } from './traces.js';

/** What the kubelet calls the root of its pods: with the cgroupfs driver, and with systemd's. */
const podRoots = ['kubepods', 'kubepods.slice'];

/** How long an ended process may keep its cgroup from going, in milliseconds. */
const patienceMs = 5_000;
const pollMs = 20;

/** The pods' cgroups, in every hierarchy that the machine has: one for v2, one for each controller of v1. */
export function cgroups(config: Config): Kind {
  const find = () => findCgroups(config);
  return {
    name: 'cgroups',
    find: () => count(find().length, 'cgroup') || undefined,
    async remove(signal) {
      const other = otherKubernetes(config);
      await stopUnits(find());
      const failed: string[] = [];
      for (const folder of find()) {
        const problem = await remove(folder, signal);
        if (problem !== undefined) failed.push(problem);
      }
      const left = other === undefined ? [] : [`the root of the pods' cgroups, which ${other} uses too`];
      return { left, failed };
    },
  };
}

/** Each below its parent, as they have to be removed. Beside another Kubernetes node only those of our own pods. */
function findCgroups(config: Config): string[] {
  const traces = readTraces(config);
  const isAlone = otherKubernetes(config, traces) === undefined;
  const found: string[] = [];
  const walk = (folder: string, isOurs: boolean) => {
    for (const name of foldersIn(folder)) walk(path.join(folder, name), isOurs || isPodCgroup(name, traces));
    if (isOurs) found.push(folder);
  };
  const hierarchies = listMounts().filter(({ type }) => type === 'cgroup' || type === 'cgroup2');
  for (const point of new Set(hierarchies.map((mount) => mount.point))) {
    for (const name of podRoots) {
      const folder = path.join(point, name);
      if (existsSync(folder)) walk(folder, isAlone);
    }
  }
  return found;
}

function foldersIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [entry.name] : [],
    );
  } catch {
    // It has just gone, with its last process.
    return [];
  }
}

/** Where systemd is init, the cgroups are its units, and it would go on believing in them. */
async function stopUnits(folders: readonly string[]): Promise<void> {
  if (!existsSync('/run/systemd/system')) return;
  const slices = folders.filter((folder) => folder.endsWith('.slice'));
  // Stopping a slice stops what is below it.
  const topmost = slices.filter((folder) => !slices.includes(path.dirname(folder)));
  const units = [...new Set(topmost.map((folder) => path.basename(folder)))];
  if (units.length === 0) return;
  try {
    await run('systemctl', ['stop', ...units]);
  } catch (error) {
    // Without the program nobody can ask it; the folders go all the same.
    if (!isHamletError(error, 'NOT_FOUND')) throw error;
  }
}

/** Returns what keeps it from going, in words. */
async function remove(folder: string, signal: AbortSignal): Promise<string | undefined> {
  for (let waitedMs = 0; ; waitedMs += pollMs) {
    try {
      rmdirSync(folder);
      return undefined;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      if (errnoOf(error) !== 'EBUSY' || waitedMs >= patienceMs || hasChildren(folder)) {
        return `${folder} cannot be removed: ${messageOf(error)}; "cat ${folder}/cgroup.procs" shows what is in it`;
      }
      await sleep(pollMs, signal);
    }
  }
}

/** Then it is one of those that kept it, and is named already. */
function hasChildren(folder: string): boolean {
  return foldersIn(folder).length > 0;
}
