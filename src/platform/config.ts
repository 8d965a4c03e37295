import { readFileSync } from 'node:fs';
import path from 'node:path';
import * as v from 'valibot';
import { HamletError, errnoOf } from '../lib/errors.js';
import { pkiSettings } from './lifetimes.js';
import { pathsFor, type Paths } from './paths.js';

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const absolutePath = v.pipe(
  v.string(),
  v.check((value) => path.isAbsolute(value), 'has to be an absolute path'),
);
const ipv4 = v.pipe(v.string(), v.ipv4('has to be an IPv4 address'));
const loopback = v.pipe(
  ipv4,
  v.startsWith('127.', 'has to be a loopback address: callers are known by their user on this machine'),
);
const cidr = v.pipe(
  v.string(),
  v.regex(/^\d+\.\d+\.\d+\.\d+\/\d+$/, 'has to be an IPv4 range such as 10.96.0.0/16'),
);

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
      podCidr: v.optional(cidr, '10.244.0.0/24'),
      serviceCidr: v.optional(cidr, '10.96.0.0/16'),
      clusterDns: v.optional(v.array(ipv4), ['10.96.0.10']),
      clusterDomain: v.optional(v.string(), 'cluster.local'),
      /** Linux allows 15 characters for an interface's name. */
      bridge: v.optional(v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,14}$/)), 'hamlet0'),
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
  pki: v.optional(pkiSettings, {}),
  debug: v.optional(
    v.strictObject({
      enabled: v.optional(v.boolean(), true),
      address: v.optional(loopback, '127.0.0.1'),
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
export interface Config extends Omit<ConfigFile, 'paths' | 'layout' | 'images'> {
  readonly layout: 'default' | 'appliance';
  readonly paths: Paths;
  /** Archives in here are imported into containerd. */
  readonly imagesDir: string;
}

/** Where the configuration lies unless HAMLET_CONFIG or --config says otherwise. */
export const defaultConfigFile = '/etc/hamlet/config.yaml';

/**
 * Checks settings as they were read (`undefined` and `null` mean: all defaults) and fills in the rest.
 * Throws INVALID_ARGUMENT that names `file`, each wrong setting and what would be right.
 */
export function parseConfig(settings: unknown, file: string): Config {
  const result = v.safeParse(configFile, settings ?? {});
  if (!result.success) {
    const problems = result.issues.map(
      (issue) => `${v.getDotPath(issue) ?? '(the whole file)'}: ${issue.message}`,
    );
    throw new HamletError('INVALID_ARGUMENT', `${file}: ${problems.join('; ')}`, { details: { problems } });
  }
  const { paths, layout, images, components, ...rest } = result.output;
  const resolved = pathsFor({ layout, ...paths });
  return {
    ...rest,
    layout,
    components: { ...components, cacheDir: process.env.HAMLET_CACHE_DIR ?? components.cacheDir },
    paths: resolved,
    imagesDir: images.dir ?? resolved.images,
  };
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
