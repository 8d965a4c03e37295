import { existsSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { HamletError } from '../lib/errors.js';

/** Bit 24 of the capability sets, from linux/capability.h. */
const capSysResource = 24n;
/** Flag "gateway" and "up" of a row in /proc/net/route, from linux/route.h. */
const routeUpAndGateway = 0x3;

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
}

/** Looks at the machine. `address` is the one from the configuration, if it names one. */
export function inspectMachine(address: string | undefined): Machine {
  const defaultInterface = readDefaultInterface();
  return {
    address: address ?? addressOf(defaultInterface),
    defaultInterface,
    mayRaiseLimits: hasCapability(capSysResource),
    cgroups: cgroupVersion(),
    // sd_booted(3): the folder exists if and only if systemd is init.
    cgroupDriver: existsSync('/run/systemd/system') ? 'systemd' : 'cgroupfs',
    bridgeCallsIptables: read('/proc/sys/net/bridge/bridge-nf-call-iptables') === '1',
    apparmor: read('/sys/module/apparmor/parameters/enabled') === 'Y',
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

/** The interface that the default route with the lowest metric goes through. */
function readDefaultInterface(): string | undefined {
  const rows = (read('/proc/net/route') ?? '').split('\n').slice(1);
  return rows
    .map((row) => row.split(/\s+/))
    .filter(([, destination, , flags]) => destination === '00000000' && isRoute(flags))
    .sort((a, b) => Number(a[6]) - Number(b[6]))[0]?.[0];
}

function isRoute(flags: string | undefined): boolean {
  return (Number.parseInt(flags ?? '0', 16) & routeUpAndGateway) === routeUpAndGateway;
}

/** The first IPv4 address of an interface; of any that is not loopback when none is given. */
function addressOf(name: string | undefined): string | undefined {
  const interfaces = networkInterfaces();
  const candidates = name === undefined ? Object.values(interfaces).flat() : (interfaces[name] ?? []);
  return candidates.find((entry) => entry?.family === 'IPv4' && !entry.internal)?.address;
}

function hasCapability(bit: bigint): boolean {
  const hex = /^CapEff:\s*([0-9a-f]+)/m.exec(read('/proc/self/status') ?? '')?.[1] ?? '0';
  return ((BigInt(`0x${hex}`) >> bit) & 1n) === 1n;
}

function cgroupVersion(): Machine['cgroups'] {
  if (existsSync('/sys/fs/cgroup/cgroup.controllers')) return 'v2';
  return existsSync('/sys/fs/cgroup/unified/cgroup.controllers') ? 'hybrid' : 'v1';
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}
