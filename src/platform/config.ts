import { readFileSync } from 'node:fs';
import path from 'node:path';
import * as v from 'valibot';
import { HamletError, errnoOf } from '../lib/errors.js';
import { addressAt, contains, isRange, overlap } from './addresses.js';
import { describeIssues } from './config-problems.js';
import { pkiSettings } from './lifetimes.js';
import { pathsFor, type Paths } from './paths.js';

const portRule = 'has to be a port, a whole number from 1 to 65535';
const port = v.pipe(
  v.number(portRule),
  v.integer(portRule),
  v.minValue(1, portRule),
  v.maxValue(65_535, portRule),
);
const pathRule = 'has to be an absolute path';
const absolutePath = v.pipe(
  v.string(pathRule),
  v.check((value) => path.isAbsolute(value), pathRule),
);
const addressRule = 'has to be an IPv4 address';
const ipv4 = v.pipe(v.string(addressRule), v.ipv4(addressRule));
const loopback = v.pipe(
  ipv4,
  v.startsWith('127.', 'has to be a loopback address: callers are known by their user on this machine'),
);
const diskRule = 'has to be a whole number of MiB from 8 to 65536, or 0 to keep no logs on disk';
const diskSize = v.pipe(
  v.number(diskRule),
  v.integer(diskRule),
  v.maxValue(65_536, diskRule),
  v.check((value) => value === 0 || value >= 8, diskRule),
);
const podRange = range(8, 30);
/** kube-apiserver takes no range larger than /12; a smaller one than /28 has no tenth address for DNS. */
const serviceRange = range(12, 28);
const domainRule = 'has to be a domain name in small letters such as cluster.local';
/** Linux allows 15 characters for an interface's name. */
const interfaceRule =
  'has to be the name of an interface: a small letter, then up to 14 letters, digits or dashes';

/** The configuration file; docs/configuration.md explains each setting. */
const configFile = v.strictObject({
  layout: v.optional(v.picklist(['default', 'appliance']), 'default'),
  paths: v.optional(v.strictObject({ state: v.optional(absolutePath), run: v.optional(absolutePath) }), {}),
  node: v.optional(v.strictObject({ address: v.optional(ipv4) }), {}),
  ports: v.optional(
    v.strictObject({
      debug: v.optional(port, 7837),
      apiserver: v.optional(port, 6443),
      kubelet: v.optional(port, 10_250),
      kubeletHealth: v.optional(port, 10_248),
      controllerManager: v.optional(port, 10_257),
      scheduler: v.optional(port, 10_259),
      proxyHealth: v.optional(port, 10_256),
      proxyMetrics: v.optional(port, 10_249),
    }),
    {},
  ),
  network: v.optional(
    v.strictObject({
      podCidr: v.optional(podRange, '10.244.0.0/24'),
      serviceCidr: v.optional(serviceRange, '10.96.0.0/16'),
      clusterDns: v.optional(v.array(ipv4)),
      clusterDomain: v.optional(
        v.pipe(v.string(domainRule), v.regex(/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/, domainRule)),
        'cluster.local',
      ),
      bridge: v.optional(
        v.pipe(v.string(interfaceRule), v.regex(/^[a-z][a-z0-9-]{0,14}$/, interfaceRule)),
        'hamlet0',
      ),
    }),
    {},
  ),
  kubeProxy: v.optional(v.strictObject({ enabled: v.optional(v.boolean(), true) }), {}),
  components: v.optional(
    v.strictObject({
      /** A folder of binaries that the user already has, instead of the provider's. */
      dir: v.optional(absolutePath),
      cacheDir: v.optional(absolutePath, '/var/cache/hamlet'),
      provider: v.optional(v.picklist(['debian']), 'debian'),
    }),
    {},
  ),
  images: v.optional(v.strictObject({ dir: v.optional(absolutePath) }), {}),
  logs: v.optional(v.strictObject({ maxDiskMb: v.optional(diskSize, 256) }), {}),
  pki: v.optional(pkiSettings, {}),
  debug: v.optional(
    v.strictObject({
      enabled: v.optional(v.boolean(), true),
      address: v.optional(loopback, '127.0.0.1'),
      /** Where clients with a certificate of the node's debug CA are let in from other machines; nowhere unless set. */
      remote: v.optional(
        v.strictObject({ address: v.optional(ipv4, '0.0.0.0'), port: v.optional(port, 7838) }),
      ),
      /** Whether credentials for the group system:masters are issued. */
      allowMasters: v.optional(v.boolean(), true),
      /** Patterns of the identities that credentials are issued for. */
      identities: v.optional(v.array(v.pipe(v.string(), v.nonEmpty())), ['*']),
    }),
    {},
  ),
});

type ConfigFile = v.InferOutput<typeof configFile>;

/** The settings with every default filled in. Plain data: it is handed to the worker threads. */
export interface Config extends Omit<ConfigFile, 'paths' | 'layout' | 'images' | 'network'> {
  readonly layout: 'default' | 'appliance';
  readonly network: ConfigFile['network'] & { readonly clusterDns: readonly string[] };
  readonly paths: Paths;
  /** Archives in here are imported into containerd. */
  readonly imagesDir: string;
}

/** Where the name server of a cluster is by custom, counted from the first address of the services. */
const dnsIndex = 10;

/** unix(7) leaves 107 bytes for a socket's name, and containerd has the longest of those below the run folder. */
const maxRunPathBytes = 107 - '/containerd/containerd.sock.ttrpc'.length;

/** Where the configuration lies unless HAMLET_CONFIG or --config says otherwise. */
export const defaultConfigFile = '/etc/hamlet/config.yaml';

/**
 * Checks settings as they were read (`undefined` and `null` mean: all defaults) and fills in the rest.
 * Throws INVALID_ARGUMENT that names `file`, each wrong setting and what would be right.
 */
export function parseConfig(settings: unknown, file: string): Config {
  const result = v.safeParse(configFile, settings ?? {});
  if (!result.success) throw invalid(file, describeIssues(configFile, result.issues));
  const { paths, layout, images, components, network, ...rest } = result.output;
  const resolved = pathsFor({ layout, ...paths });
  const config: Config = {
    ...rest,
    layout,
    components: { ...components, cacheDir: cacheDirFromEnvironment() ?? components.cacheDir },
    network: { ...network, clusterDns: network.clusterDns ?? [addressAt(network.serviceCidr, dnsIndex)] },
    paths: resolved,
    imagesDir: images.dir ?? resolved.images,
  };
  const problems = conflicts(config);
  if (problems.length > 0) throw invalid(file, problems);
  return config;
}

/** What is right by itself but not together with the rest. */
function conflicts({ ports, network, node, paths, debug }: Config): string[] {
  const { podCidr, serviceCidr } = network;
  const problems: string[] = [];
  const owners = new Map<number, string>();
  const named = Object.entries(ports).map(([name, port]) => [`ports.${name}`, port] as const);
  const all = [
    ...named,
    ...(debug.remote === undefined ? [] : [['debug.remote.port', debug.remote.port] as const]),
  ];
  for (const [name, port] of all) {
    const owner = owners.get(port);
    if (owner === undefined) owners.set(port, name);
    else problems.push(`${name}: ${port} is ${owner} already`);
  }
  if (overlap(podCidr, serviceCidr)) {
    problems.push(`network.serviceCidr: ${serviceCidr} overlaps network.podCidr, ${podCidr}`);
  }
  for (const [name, cidr] of Object.entries({ podCidr, serviceCidr })) {
    if (node.address !== undefined && contains(cidr, node.address)) {
      problems.push(`node.address: ${node.address} lies in network.${name}, ${cidr}`);
    }
  }
  if (Buffer.byteLength(paths.run) > maxRunPathBytes) {
    problems.push(`paths.run: has to be ${maxRunPathBytes} bytes at most: it is part of the sockets' names`);
  }
  return problems;
}

/** HAMLET_CACHE_DIR, which the tests and the set-up share; empty means none. */
function cacheDirFromEnvironment(): string | undefined {
  const folder = process.env.HAMLET_CACHE_DIR ?? '';
  return folder === '' ? undefined : path.resolve(folder);
}

function invalid(file: string, problems: readonly string[]): HamletError {
  const message =
    problems.length === 1 ? `${file}: ${problems[0] ?? ''}` : [`${file}:`, ...problems].join('\n  ');
  return new HamletError('INVALID_ARGUMENT', message, { details: { problems } });
}

function range(minPrefix: number, maxPrefix: number) {
  const rule = `has to be an IPv4 range such as 10.96.0.0/16, /${minPrefix} to /${maxPrefix}`;
  return v.pipe(
    v.string(rule),
    v.check((cidr) => {
      const prefix = Number(cidr.split('/')[1]);
      return isRange(cidr) && prefix >= minPrefix && prefix <= maxPrefix;
    }, rule),
  );
}

/**
 * Reads and checks the configuration. A missing file at the default place means defaults; a missing file that was
 * asked for is NOT_FOUND. Throws INVALID_ARGUMENT for YAML that cannot be read and for wrong settings.
 */
export async function loadConfig(asked: string | undefined): Promise<Config> {
  const file = asked ?? defaultConfigFile;
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' && asked === undefined) return parseConfig({}, file);
    throw new HamletError('NOT_FOUND', `the configuration ${file} cannot be read`, { cause: error });
  }
  // Only a node with a configuration file pays for the parser's 20 ms.
  const { parse } = await import('yaml');
  let settings: unknown;
  try {
    settings = parse(text);
  } catch (error) {
    throw new HamletError('INVALID_ARGUMENT', `${file} is not valid YAML`, { cause: error });
  }
  return parseConfig(settings, file);
}
