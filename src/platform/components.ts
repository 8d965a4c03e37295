import { HamletError } from '../lib/errors.js';

/** The programs of a Kubernetes release that a node needs, by the names of their binaries. */
export const kubePrograms = [
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kube-proxy',
  'kubelet',
  'kubectl',
] as const;
export type KubeProgram = (typeof kubePrograms)[number];

/** What a Kubernetes binary says of itself with `--version`. */
export interface KubernetesVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** As the binary writes it: "v1.20.2", "v1.36.0-rc.1", "v1.31.4+vendor1". */
  readonly text: string;
}

/** One binary that is every program by its first argument, or an official release's separate ones. */
export type KubeBinaries =
  | { readonly kind: 'multicall'; readonly path: string }
  | { readonly kind: 'separate'; readonly paths: Readonly<Partial<Record<KubeProgram, string>>> };

/** How long it takes at most until a program has read a file with certificates that has changed, in milliseconds. */
export interface Rereads {
  /** The certificates that it serves, and the authorities by which it knows its clients. */
  readonly serversMs: number;
  /** The certificate that it is itself known by. */
  readonly clientsMs: number;
}

/** Upstream's: FileRefreshDuration in apiserver's dynamiccertificates, CertCallbackRefreshDuration in client-go. */
export const upstreamRereads: Rereads = { serversMs: 60_000, clientsMs: 300_000 };

/** Of what Hamlet builds: rereadEvery in kubernetes/main.go. */
export const builtRereads: Rereads = { serversMs: 10_000, clientsMs: 10_000 };

/**
 * Where everything is that a node starts: found and checked by src/provision. Plain data, so that it can be handed to
 * a worker thread. All paths are absolute.
 */
export interface Components {
  readonly etcd: string;
  readonly containerd: string;
  readonly runc: string;
  /** containerd's client, which imports image archives. */
  readonly ctr: string;
  readonly kube: KubeBinaries;
  readonly kubernetesVersion: KubernetesVersion;
  readonly rereads: Rereads;
  readonly cniBinDir: string;
  readonly pauseImage: {
    /** A docker-archive tar. */
    readonly archive: string;
    /** The name that the archive gives it. */
    readonly ref: string;
  };
  /**
   * What the components find on their PATH, name by name: the rest of the machine's programs is none of their
   * business. linkPrograms() makes a folder of it.
   */
  readonly programs: Readonly<Record<string, string>>;
}

/**
 * The words that start a program: one path, or the multi-call binary and the program's name.
 * Throws FAILED_PRECONDITION for a program that was left out (kube-proxy, if the configuration says so).
 */
export function kubeCommand(components: Components, program: KubeProgram): readonly [string, ...string[]] {
  const { kube } = components;
  switch (kube.kind) {
    case 'multicall':
      return [kube.path, program];
    case 'separate': {
      const file = kube.paths[program];
      if (file === undefined) {
        throw new HamletError('FAILED_PRECONDITION', `there is no ${program} among the components`);
      }
      return [file];
    }
    default:
      return kube satisfies never;
  }
}

/** Whether the release is `major.minor` or a later one. */
export function isAtLeast(version: KubernetesVersion, major: number, minor: number): boolean {
  return version.major > major || (version.major === major && version.minor >= minor);
}

/**
 * Reads what `kubelet --version` or `kube-apiserver --version` prints ("Kubernetes v1.20.2").
 * Undefined when there is no version in it.
 */
export function parseKubernetesVersion(output: string): KubernetesVersion | undefined {
  const match = /\bv(\d+)\.(\d+)\.(\d+)(?:[-+][0-9A-Za-z.+-]*)?/.exec(output);
  if (match === null) return undefined;
  return { major: Number(match[1]), minor: Number(match[2]), patch: Number(match[3]), text: match[0] };
}
