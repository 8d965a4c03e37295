import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { ensureFolder, writeFileAtomic } from '../../lib/files.js';
import type { Config } from '../../platform/config.js';
import { runPaths } from '../../platform/paths.js';

/** Where libcni keeps what each network has answered, whoever uses it (libcni/api.go, CacheDir). */
const cniResultsFolder = '/var/lib/cni/results';

/**
 * By what a node's things are known on a machine that others use too. All of it is read from the node's own folders,
 * or from files that name them.
 */
export interface Traces {
  /** UIDs of the pods that the kubelet has a folder for. */
  readonly podUids: ReadonlySet<string>;
  /** IDs of containers, and of sandboxes among them. */
  readonly containerIds: ReadonlySet<string>;
  /** Files of network namespaces. */
  readonly networkNamespaces: ReadonlySet<string>;
  readonly shimSockets: ReadonlySet<string>;
  /** libcni's files about this node's sandboxes. */
  readonly cniResults: ReadonlySet<string>;
  readonly bridges: ReadonlySet<string>;
}

/** The traces as they were when a reset began, for a second one: the folders that they are read from go with the first. */
export function tracesFile(config: Config): string {
  return path.join(config.paths.state, 'reset.json');
}

/** Writes them down. */
export function rememberTraces(config: Config): void {
  const traces = Object.entries<ReadonlySet<string>>({ ...readTraces(config) }).map(([name, set]) => [
    name,
    [...set],
  ]);
  ensureFolder(config.paths.state, 0o700);
  writeFileAtomic(tracesFile(config), JSON.stringify(Object.fromEntries(traces)), 0o600);
}

/** Reads them. What is missing or unreadable is left out: a reset may have been interrupted at any place. */
export function readTraces(config: Config): Traces {
  const remembered = readJson(tracesFile(config)) as Remembered | undefined;
  const podUids = new Set<string>([
    ...(remembered?.podUids ?? []),
    ...list(path.join(config.paths.kubelet, 'pods')),
  ]);
  const containerIds = new Set<string>(remembered?.containerIds);
  const networkNamespaces = new Set<string>(remembered?.networkNamespaces);
  const shimSockets = new Set<string>(remembered?.shimSockets);
  const bridges = new Set<string>([config.network.bridge, ...(remembered?.bridges ?? [])]);

  for (const bundle of bundles(config)) {
    containerIds.add(path.basename(bundle));
    const address = read(path.join(bundle, 'address'))?.trim();
    if (address?.startsWith('unix:///')) shimSockets.add(address.slice('unix://'.length));
    const spec = readJson(path.join(bundle, 'config.json')) as ContainerSpec | undefined;
    const uid = spec?.annotations?.['io.kubernetes.cri.sandbox-uid'];
    if (uid !== undefined) podUids.add(uid);
    for (const { type, path: file } of spec?.linux?.namespaces ?? []) {
      // A container joins its sandbox's namespace through /proc; the sandbox names the file itself.
      if (type === 'network' && file !== undefined && !file.startsWith('/proc/')) networkNamespaces.add(file);
    }
  }

  const configured = readJson(path.join(config.paths.cni, 'net.d', '10-hamlet.conflist')) as
    NetworkList | undefined;
  for (const bridge of bridgesOf(configured)) bridges.add(bridge);
  const results = list(cniResultsFolder).map((name) => path.join(cniResultsFolder, name));
  for (const file of results) {
    const result = readJson(file) as CachedResult | undefined;
    if (result === undefined || !isOfNode(result, config)) continue;
    if (result.containerId !== undefined) containerIds.add(result.containerId);
    for (const { sandbox } of result.result?.interfaces ?? []) {
      if (sandbox !== undefined && sandbox !== '') networkNamespaces.add(sandbox);
    }
    for (const bridge of bridgesOf(decodeConfig(result))) bridges.add(bridge);
  }
  // Beside the node's own network each sandbox has a result for its loopback interface.
  const cniResults = new Set(
    results.filter((file) => containerIds.has(path.basename(file).split('-').at(-2) ?? '')),
  );

  return { podUids, containerIds, networkNamespaces, shimSockets, cniResults, bridges };
}

/** The folders of containerd's running containers, of every containerd namespace. */
export function bundles(config: Config): string[] {
  const tasks = path.join(runPaths(config.paths.run).containerd, 'state', 'io.containerd.runtime.v2.task');
  return list(tasks).flatMap((namespace) =>
    list(path.join(tasks, namespace)).map((id) => path.join(tasks, namespace, id)),
  );
}

/** The names in a folder; none when it is not there. */
export function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

type Remembered = { readonly [K in keyof Traces]?: readonly string[] };

/** The part of an OCI runtime configuration that is looked at (runtime-spec, config-linux.md). */
interface ContainerSpec {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly linux?: { readonly namespaces?: readonly { readonly type: string; readonly path?: string }[] };
}

/** libcni's cachedInfo (libcni/api.go). */
interface CachedResult {
  readonly containerId?: string;
  /** The network's configuration, as base64. */
  readonly config?: string;
  readonly result?: {
    readonly interfaces?: readonly { readonly name?: string; readonly sandbox?: string }[];
  };
}

interface NetworkList {
  readonly plugins?: readonly {
    readonly type?: string;
    readonly bridge?: string;
    readonly ipam?: { readonly dataDir?: string };
  }[];
}

/** Every node's network has the same name; the folder of its addresses is its own. */
function isOfNode(result: CachedResult, config: Config): boolean {
  const dataDir = path.join(config.paths.cni, 'ipam');
  return decodeConfig(result)?.plugins?.some(({ ipam }) => ipam?.dataDir === dataDir) ?? false;
}

function decodeConfig({ config = '' }: CachedResult): NetworkList | undefined {
  return parse(Buffer.from(config, 'base64').toString('utf8')) as NetworkList | undefined;
}

function bridgesOf(network: NetworkList | undefined): string[] {
  return (network?.plugins ?? []).flatMap(({ bridge }) => (bridge === undefined ? [] : [bridge]));
}

function readJson(file: string): unknown {
  const text = read(file);
  return text === undefined ? undefined : parse(text);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
