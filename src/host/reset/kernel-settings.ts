import { existsSync } from 'node:fs';
import type { Config } from '../../platform/config.js';
import { alteredSysctls, putRecordedSysctlsBack, type SysctlChange } from '../sysctls.js';
import type { Kind } from './kind.js';
import { otherKubernetes } from './processes.js';
import { list } from './traces.js';

const forwarding = 'net.ipv4.ip_forward';

/** The kernel settings that the components have changed. */
export function kernelSettings(config: Config): Kind {
  return {
    name: 'kernel settings',
    find() {
      const changes = alteredSysctls(config).filter(({ name }) => keeper(name, config) === undefined);
      return changes.map(({ name, from, to }) => `${name} ${from} -> ${to}`).join(', ') || undefined;
    },
    remove() {
      const kept = alteredSysctls(config).flatMap((change) => {
        const who = keeper(change.name, config);
        return who === undefined ? [] : [{ ...change, who }];
      });
      const failed = putRecordedSysctlsBack(
        config,
        kept.map(({ name }) => name),
      );
      return { left: kept.map(describe), failed };
    },
  };
}

/** Who needs a setting as it is, in words. */
function keeper(name: string, config: Config): string | undefined {
  const other = otherKubernetes(config);
  if (other !== undefined) return other;
  if (name !== forwarding) return undefined;
  // Docker, Podman, libvirt and the like turn it on themselves, but once, when they start.
  const bridges = list('/sys/class/net').filter((link) => existsSync(`/sys/class/net/${link}/bridge`));
  const others = bridges.filter((bridge) => bridge !== config.network.bridge);
  return others.length === 0 ? undefined : `what is behind ${others.join(', ')}`;
}

function describe({ name, from, to, who }: SysctlChange & { readonly who: string }): string {
  return `${name} = ${from}, because ${who} may need it; "sysctl -w ${name}=${to}" puts it back`;
}
