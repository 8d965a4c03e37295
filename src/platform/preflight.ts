import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { HamletError, errnoOf } from '../lib/errors.js';
import type { ComponentName } from '../lib/names.js';
import type { Config } from './config.js';
import { spaceProblem } from './disk.js';
import { missingKernelFeatures } from './kernel.js';
import { portHolder } from './port-holder.js';

/** As in package.json. */
const oldestNode = '20.15.0';
const architectures = ['x64', 'arm64'];
/** etcd alone allots 64 MB for its log before it has written anything. */
const stateBytes = 256e6;

/** What root needs to make mounts, namespaces and interfaces (linux/capability.h); containers often lack it. */
const neededCapabilities = { CAP_NET_ADMIN: 12n, CAP_SYS_ADMIN: 21n };

/**
 * Checks that a node can run on this machine at all, before anything is started or written.
 * Throws PERMISSION_DENIED for anyone but root, FAILED_PRECONDITION that names everything else that is wrong.
 */
export async function checkHost(config: Config): Promise<void> {
  if (process.platform !== 'linux' || !architectures.includes(process.arch)) {
    throw unfit(`Hamlet runs on Linux on x64 and arm64; this is ${process.platform} on ${process.arch}`);
  }
  if (!isAtLeast(process.versions.node, oldestNode)) {
    throw unfit(`Hamlet needs Node.js ${oldestNode} or later; this is ${process.versions.node}`);
  }
  if (process.geteuid?.() !== 0) {
    throw new HamletError('PERMISSION_DENIED', 'a node needs root; run it again with sudo');
  }
  const problems = [...capabilityProblems(), ...kernelProblems(), ...diskProblems(config)];
  if (problems.length > 0) throw unfit(problems.join('\n'), problems);
}

/**
 * Checks that the ports of the configuration are free, but for those of the components that run already. Call it when
 * what an earlier run left behind has been taken over or has ended.
 * Throws FAILED_PRECONDITION that names each taken port, its setting and the process that holds it.
 */
export async function checkPorts(config: Config, running: readonly string[] = []): Promise<void> {
  const problems = await Promise.all(
    listeners(config).map(async (listener) => {
      const { setting, port } = listener;
      if (running.includes(listener.holder) || (await isFree(listener))) return [];
      const holder = portHolder(port);
      const by = holder === undefined ? '' : ` by ${holder.name} (process ${holder.pid})`;
      return [`port ${port} is taken${by}; set ${setting} in the configuration to another one`];
    }),
  );
  const found = problems.flat();
  if (found.length > 0) throw unfit(found.join('\n'), found);
}

type PortName = keyof Config['ports'];

/** Who listens on which port. */
const holders: Readonly<Record<PortName, ComponentName | 'hamlet'>> = {
  debug: 'hamlet',
  apiserver: 'kube.apiserver',
  kubelet: 'kube.kubelet',
  kubeletHealth: 'kube.kubelet',
  controllerManager: 'kube.controller-manager',
  scheduler: 'kube.scheduler',
  proxyHealth: 'kube.proxy',
  proxyMetrics: 'kube.proxy',
};

interface Listener {
  /** "ports.debug" */
  readonly setting: string;
  readonly holder: ComponentName | 'hamlet';
  readonly port: number;
  readonly address: string;
  /** Whether the machine may get the address later: then nobody can have the port there yet. */
  readonly isLater?: boolean;
}

/** Who will listen where: the API server and the kubelet for everybody, the rest for this machine alone. */
function listeners({ ports, debug, kubeProxy }: Config): Listener[] {
  const everywhere: readonly PortName[] = ['apiserver', 'kubelet'];
  const ofProxy: readonly PortName[] = ['proxyHealth', 'proxyMetrics'];
  const named = (Object.entries(ports) as [PortName, number][])
    .filter(([name]) => kubeProxy.enabled || !ofProxy.includes(name))
    .filter(([name]) => debug.enabled || name !== 'debug')
    .map(([name, port]) => ({
      setting: `ports.${name}`,
      holder: holders[name],
      port,
      address: name === 'debug' ? debug.address : everywhere.includes(name) ? '0.0.0.0' : '127.0.0.1',
    }));
  if (!debug.enabled || debug.remote === undefined) return named;
  return [...named, { setting: 'debug.remote.port', holder: 'hamlet', isLater: true, ...debug.remote }];
}

/** Whether a server can listen there: tried, because nothing else is as sure, and closed again at once. */
async function isFree({ port, address: host, isLater = false }: Listener): Promise<boolean> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port, host, exclusive: true }, resolve);
    });
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EADDRINUSE') return false;
    if (errnoOf(error) === 'EADDRNOTAVAIL' && isLater) return true;
    throw new HamletError('FAILED_PRECONDITION', `nothing can listen on ${host} port ${port}`, {
      cause: error,
    });
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

function capabilityProblems(): string[] {
  const hex = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const effective = BigInt(`0x${hex}`);
  return Object.entries(neededCapabilities)
    .filter(([, bit]) => ((effective >> bit) & 1n) === 0n)
    .map(([name]) => `root lacks ${name} here; a container has to be a privileged one`);
}

function kernelProblems(): string[] {
  return missingKernelFeatures().map((what) => `the kernel has no ${what}`);
}

/**
 * Whether there is room for a new node's state, in words if not. A node that is there already is started however full its
 * disk is: it has what etcd allots at first, and the condition DataAvailable tells of the rest. `bytes` is for tests.
 */
export function diskProblems({ paths }: Pick<Config, 'paths'>, bytes = stateBytes): string[] {
  // etcd makes it at its first start.
  if (existsSync(path.join(paths.etcd, 'member'))) return [];
  const problem = spaceProblem(paths.state, bytes, 'The state of a node');
  return problem === undefined ? [] : [problem];
}

/** Compares versions of three numbers. */
function isAtLeast(version: string, oldest: string): boolean {
  const [a, b] = [version, oldest].map((text) => text.split('.').map(Number));
  for (let part = 0; part < 3; part++) {
    const difference = (a?.[part] ?? 0) - (b?.[part] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

function unfit(message: string, problems: readonly string[] = [message]): HamletError {
  return new HamletError('FAILED_PRECONDITION', message, { details: { problems } });
}
