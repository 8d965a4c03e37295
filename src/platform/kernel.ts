import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { gunzipSync } from 'node:zlib';

/** Something that the kernel has built in, can load, or lacks. */
interface KernelFeature {
  /** What a person calls it, and why a node needs it. */
  readonly what: string;
  /** Its module's name. */
  readonly module: string;
  /** Its option in the kernel's configuration. */
  readonly option: string;
}

/** What a node cannot do without; any other of netfilter's parts comes with these. */
const features: readonly KernelFeature[] = [
  { what: 'overlayfs (root file systems of containers)', module: 'overlay', option: 'CONFIG_OVERLAY_FS' },
  { what: 'bridges (network of the pods)', module: 'bridge', option: 'CONFIG_BRIDGE' },
  { what: 'veth pairs (network of the pods)', module: 'veth', option: 'CONFIG_VETH' },
  { what: 'nf_tables (iptables rules for services)', module: 'nf_tables', option: 'CONFIG_NF_TABLES' },
];
const namespaces = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts'];
const cgroupControllers = ['cpu', 'memory', 'pids'];

/** Where the kernel and its modules describe themselves; tests put a tree of their own in its place. */
export interface KernelSources {
  readonly proc: string;
  readonly sys: string;
  readonly modules: string;
  readonly boot: string;
}

const thisMachine: KernelSources = {
  proc: '/proc',
  sys: '/sys',
  modules: `/lib/modules/${release()}`,
  boot: '/boot',
};

/**
 * What a node needs of the kernel and this one lacks, in words. It only reads, so a feature whose presence nothing on
 * this machine tells of counts as there.
 */
export function missingKernelFeatures(sources: KernelSources = thisMachine): string[] {
  return [
    ...features.filter((feature) => !hasFeature(feature, sources)).map(({ what }) => what),
    ...namespaces
      .filter((name) => !existsSync(`${sources.proc}/self/ns/${name}`))
      .map((name) => `${name} namespaces`),
    ...missingControllers(sources).map((name) => `the ${name} cgroup controller`),
  ];
}

function hasFeature({ module, option }: KernelFeature, sources: KernelSources): boolean {
  if (existsSync(`${sources.sys}/module/${module}`)) return true;
  if (read(`${sources.proc}/filesystems`)?.split(/\s+/).includes(module) === true) return true;
  const file = new RegExp(`/${module.replace('_', '[_-]')}\\.ko`, 'm');
  for (const list of ['modules.builtin', 'modules.dep']) {
    if (file.test(read(`${sources.modules}/${list}`) ?? '')) return true;
  }
  // Not loaded, not built in as far as the lists say, not on the disk: the configuration has the last word. A module
  // that it promises is lost, for example because the kernel's package was exchanged and the machine not restarted.
  const config = kernelConfig(sources);
  return config === undefined || new RegExp(`^${option}=y$`, 'm').test(config);
}

function kernelConfig({ proc, boot }: KernelSources): string | undefined {
  try {
    return gunzipSync(readFileSync(`${proc}/config.gz`)).toString('latin1');
  } catch {
    return read(`${boot}/config-${release()}`);
  }
}

/** Controllers that are neither in the v2 tree nor mounted for v1. */
function missingControllers({ proc, sys }: KernelSources): string[] {
  const v2 = (read(`${sys}/fs/cgroup/cgroup.controllers`) ?? '').split(/\s+/);
  const v1 = (read(`${proc}/self/mountinfo`) ?? '')
    .split('\n')
    .filter((line) => line.includes(' - cgroup '))
    .flatMap((line) => (line.split(' ').at(-1) ?? '').split(','));
  return cgroupControllers.filter((name) => !v2.includes(name) && !v1.includes(name));
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
