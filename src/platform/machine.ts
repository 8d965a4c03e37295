import { existsSync, readFileSync } from 'node:fs';
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os';
import { HamletError } from '../lib/errors.js';

/** Bit 24 of the capability sets, from linux/capability.h. */
const capSysResource = 24n;
/** Flags of a row in /proc/net/route, from linux/route.h: it is in use; it refuses what is sent there. */
const routeUp = 0x1;
const routeReject = 0x200;

/** What was found out about this machine at the start; nothing of it is assumed anywhere. */
export interface Machine {
  /** The node's IPv4 address, or undefined while it has none. */
  readonly address: string | undefined;
  /** The interface of the default route, or undefined when there is none. */
  readonly defaultInterface: string | undefined;
  /** Whether processes may lower their OOM score and raise hard limits. */
  readonly mayRaiseLimits: boolean;
  /** `hybrid`: controllers on v1 with a v2 tree beside them. */
  readonly cgroups: 'v1' | 'hybrid' | 'v2';
  /** Who owns the cgroup tree: with systemd as init it has to be asked, without it nobody has. */
  readonly cgroupDriver: 'systemd' | 'cgroupfs';
  /** Whether traffic between two ports of a bridge passes iptables. */
  readonly bridgeCallsIptables: boolean;
  readonly apparmor: boolean;
  /** Whether it is one of Amazon's virtual machines, which have a service that knows their credentials. */
  readonly isEc2: boolean;
}

/** Where a machine describes itself; tests put a tree of their own in its place. */
export interface MachineSources {
  readonly proc: string;
  readonly sys: string;
  readonly run: string;
  readonly interfaces: () => NodeJS.Dict<NetworkInterfaceInfo[]>;
}

const thisMachine: MachineSources = {
  proc: '/proc',
  sys: '/sys',
  run: '/run',
  interfaces: networkInterfaces,
};

/**
 * Looks at the machine. `address` is the one from the configuration, if it names one; an address on one of the
 * interfaces `ignored`, such as the pods' own bridge, is not taken for the node's.
 */
export function inspectMachine(
  address: string | undefined,
  ignored: readonly string[] = [],
  sources = thisMachine,
): Machine {
  const { proc, sys, run } = sources;
  const defaultInterface = defaultInterfaceOf(read(`${proc}/net/route`) ?? '');
  return {
    address: address ?? addressOf(sources.interfaces(), defaultInterface, ignored),
    defaultInterface,
    mayRaiseLimits: hasCapability(read(`${proc}/self/status`) ?? '', capSysResource),
    cgroups: cgroupVersion(`${sys}/fs/cgroup`),
    // sd_booted(3): the folder exists if and only if systemd is init.
    cgroupDriver: existsSync(`${run}/systemd/system`) ? 'systemd' : 'cgroupfs',
    bridgeCallsIptables: read(`${proc}/sys/net/bridge/bridge-nf-call-iptables`) === '1',
    apparmor: read(`${sys}/module/apparmor/parameters/enabled`) === 'Y',
    // Amazon's documentation, "Detect whether a host is an EC2 instance": the vendor on Nitro, the firmware on Xen.
    isEc2: ['sys_vendor', 'bios_version'].some((name) => {
      return read(`${sys}/class/dmi/id/${name}`)?.toLowerCase().includes('amazon');
    }),
  };
}

/** The address of the node. Throws FAILED_PRECONDITION, saying what to set, when the machine has none. */
export function requireAddress(machine: Machine): string {
  if (machine.address !== undefined) return machine.address;
  throw new HamletError(
    'FAILED_PRECONDITION',
    'this machine has no IPv4 address besides loopback; give it one, or set node.address in the configuration',
  );
}

/**
 * The interface of the default route with the lowest metric. The columns of /proc/net/route, addresses in hex:
 * interface, destination, gateway, flags, references, uses, metric, mask, …
 */
function defaultInterfaceOf(routes: string): string | undefined {
  const rows = routes
    .split('\n')
    .slice(1)
    .map((row) => row.trim().split(/\s+/));
  return rows
    .filter(([, destination, , flags, , , , mask]) => {
      // The mask tells it from 0.0.0.0/1, which a VPN lays over one half of all addresses.
      return destination === '00000000' && mask === '00000000' && leadsSomewhere(flags);
    })
    .sort((a, b) => Number(a[6]) - Number(b[6]))[0]?.[0];
}

/** A gateway is not asked for: a point-to-point line has none. */
function leadsSomewhere(flags = '0'): boolean {
  return (Number.parseInt(flags, 16) & (routeUp | routeReject)) === routeUp;
}

/** The first IPv4 address of an interface; without one, of any that is neither loopback nor ignored. */
function addressOf(
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>,
  name: string | undefined,
  ignored: readonly string[],
): string | undefined {
  const candidates = Object.entries(interfaces)
    .filter(([key]) => (name === undefined ? !ignored.includes(key) : key === name))
    .flatMap(([, addresses = []]) => addresses);
  return candidates.find((entry) => entry.family === 'IPv4' && !entry.internal)?.address;
}

function hasCapability(status: string, bit: bigint): boolean {
  const hex = /^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0';
  return ((BigInt(`0x${hex}`) >> bit) & 1n) === 1n;
}

function cgroupVersion(root: string): Machine['cgroups'] {
  if (existsSync(`${root}/cgroup.controllers`)) return 'v2';
  return existsSync(`${root}/unified/cgroup.controllers`) ? 'hybrid' : 'v1';
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}
