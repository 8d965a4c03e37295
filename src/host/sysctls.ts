import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { messageOf } from '../lib/errors.js';
import { writeFileAtomic } from '../lib/files.js';
import type { Config } from '../platform/config.js';

/**
 * What the components set, and to what, as paths below /proc/sys: the kubelet (setupKernelTunables in
 * pkg/kubelet/cm/container_manager_linux.go), kube-proxy (NewProxier in pkg/proxy/iptables/proxier.go) and CNI's bridge
 * plugin (ip.EnableIP4Forward).
 */
const setByComponents: ReadonlyMap<string, string> = new Map([
  ['vm/overcommit_memory', '1'],
  ['vm/panic_on_oom', '0'],
  ['kernel/panic', '10'],
  ['kernel/panic_on_oops', '1'],
  ['kernel/keys/root_maxkeys', '1000000'],
  ['kernel/keys/root_maxbytes', '25000000'],
  ['net/ipv4/conf/all/route_localnet', '1'],
  ['net/bridge/bridge-nf-call-iptables', '1'],
  ['net/ipv4/ip_forward', '1'],
]);

const forwarding = 'net/ipv4/ip_forward';

/**
 * What the kernel changes by itself, and back to its own defaults, when forwarding is turned on and off
 * (inet_forward_change in net/ipv4/devinet.c).
 */
function followersOfForwarding(): string[] {
  const interfaces = readdirSync('/proc/sys/net/ipv4/conf');
  return [
    'net/ipv4/conf/all/accept_redirects',
    ...interfaces.map((name) => `net/ipv4/conf/${name}/forwarding`),
  ];
}

export interface SysctlChange {
  /** As sysctl(8) writes it: "net.ipv4.ip_forward". */
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

/** Where the values from before the first start lie. */
export function sysctlsFile(config: Config): string {
  return path.join(config.paths.state, 'sysctls.json');
}

/**
 * Writes down the kernel settings that the components are going to change. Call it before the first of them is
 * started; once the record is there it is never made anew, because it would hold the components' own values.
 */
export function recordSysctls(config: Config): void {
  const file = sysctlsFile(config);
  if (existsSync(file)) return;
  const names = [...setByComponents.keys(), ...followersOfForwarding()];
  const values = names.flatMap((name) => {
    const value = read(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  writeFileAtomic(file, `${JSON.stringify(Object.fromEntries(values), null, 2)}\n`, 0o600);
}

/** What putRecordedSysctlsBack would change now. A setting that somebody else has changed since is not ours any more. */
export function alteredSysctls(config: Config): SysctlChange[] {
  return [...readRecord(config)].flatMap(([name, to]) => {
    const from = read(name);
    if (from === undefined || from === to || from !== setByComponents.get(name)) return [];
    return [{ name: dotted(name), from, to }];
  });
}

/**
 * Gives the kernel settings the values that they had before the first start, but for those of `except`.
 * Returns what could not be set, in words.
 */
export function putRecordedSysctlsBack(config: Config, except: readonly string[]): string[] {
  const record = readRecord(config);
  const failed: string[] = [];
  const put = (name: string, value: string) => {
    try {
      if (read(name) !== value) writeFileSync(`/proc/sys/${name}`, value);
    } catch (error) {
      failed.push(`${dotted(name)} cannot be set to ${value}: ${messageOf(error)}`);
    }
  };
  const changes = alteredSysctls(config).filter(({ name }) => !except.includes(name));
  for (const { name, to } of changes) put(name.replaceAll('.', '/'), to);
  if (changes.some(({ name }) => name === dotted(forwarding))) {
    for (const [name, value] of record)
      if (!setByComponents.has(name) && read(name) !== undefined) put(name, value);
  }
  return failed;
}

function readRecord(config: Config): ReadonlyMap<string, string> {
  try {
    return new Map(
      Object.entries(JSON.parse(readFileSync(sysctlsFile(config), 'utf8')) as Record<string, string>),
    );
  } catch {
    // No record: no component was ever started from this state.
    return new Map();
  }
}

function read(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** None of the settings that the components set has a dot within a part of its name. */
function dotted(name: string): string {
  return name.replaceAll('/', '.');
}
