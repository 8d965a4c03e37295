import { existsSync, realpathSync, rmSync } from 'node:fs';
import { messageOf } from '../../lib/errors.js';
import type { Config } from '../../platform/config.js';
import { listMounts } from '../mounts.js';
import { run } from './command.js';
import { count, joined, type Kind } from './kind.js';
import { unmount } from './mounts.js';
import { list, readTraces } from './traces.js';

/** What `ip -json -details link show` says of an interface, as far as it is looked at. */
interface Link {
  readonly ifname: string;
  readonly linkinfo?: { readonly info_kind?: string };
}

/** The pods' bridge, the interfaces that connect pods to it, and the pods' network namespaces. */
export function network(config: Config): Kind {
  return {
    name: 'network',
    find() {
      const { bridges, namespaces } = findNetwork(config);
      const ports = bridges.flatMap(portsOf);
      return joined(
        bridges.map((name) => `bridge ${name}`).join(', '),
        count(ports.length, 'interface of pods', 'interfaces of pods'),
        count(namespaces.length, 'network namespace'),
      );
    },
    async remove(signal) {
      const { bridges, namespaces } = findNetwork(config);
      const left: string[] = [];
      const failed: string[] = [];
      // Before the namespaces: the kernel takes an interface away with its peer at once, and with its namespace later.
      for (const bridge of bridges) {
        try {
          const outcome = await removeBridge(bridge);
          left.push(...outcome.left);
          failed.push(...outcome.failed);
        } catch (error) {
          failed.push(`bridge ${bridge} cannot be deleted: ${messageOf(error)}`);
        }
      }
      failed.push(...(await removeNamespaces(namespaces, signal)));
      return { left, failed };
    },
  };
}

function findNetwork(config: Config) {
  const traces = readTraces(config);
  return {
    bridges: [...traces.bridges].filter((name) => existsSync(`/sys/class/net/${name}/bridge`)),
    namespaces: [...traces.networkNamespaces].filter((file) => existsSync(file)),
  };
}

/** The interfaces that are attached to a bridge. */
function portsOf(bridge: string): string[] {
  return list(`/sys/class/net/${bridge}/brif`);
}

async function removeBridge(bridge: string): Promise<{ left: string[]; failed: string[] }> {
  const { stdout } = await run('ip', ['-json', '-details', 'link', 'show', 'master', bridge]);
  const links = JSON.parse(stdout || '[]') as Link[];
  const ofPods = links.filter(({ linkinfo }) => linkinfo?.info_kind === 'veth').map(({ ifname }) => ifname);
  const foreign = portsOf(bridge).filter((name) => !ofPods.includes(name));
  const failed: string[] = [];
  for (const name of foreign.length === 0 ? [...ofPods, bridge] : ofPods) {
    const { code, complaint } = await run('ip', ['link', 'delete', name]);
    if (code !== 0 && existsSync(`/sys/class/net/${name}`)) {
      failed.push(`interface ${name} cannot be deleted: ${complaint}; try "ip link delete ${name}"`);
    }
  }
  if (foreign.length === 0) return { left: [], failed };
  return {
    left: [`bridge ${bridge}, because ${foreign.join(', ')} is attached to it and is not a pod's`],
    failed,
  };
}

/** A network namespace that has a file is mounted on it (ip-netns(8)). */
async function removeNamespaces(files: readonly string[], signal: AbortSignal): Promise<string[]> {
  const real = new Set(files.map((file) => realpathSync(file)));
  const mounted = () => listMounts().flatMap(({ point }) => (real.has(point) ? [point] : []));
  const failed = await unmount(mounted, signal);
  const stillMounted = new Set(mounted());
  for (const file of real) {
    if (stillMounted.has(file)) continue;
    try {
      rmSync(file, { force: true });
    } catch (error) {
      failed.push(`${file} cannot be removed: ${messageOf(error)}`);
    }
  }
  return failed;
}
