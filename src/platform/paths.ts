import path from 'node:path';

/** Where a node keeps its things. All absolute. */
export interface Paths {
  /** What has to survive a reboot. */
  readonly state: string;
  /** What must not: sockets, pipes, ramfs mounts. */
  readonly run: string;
  readonly etcd: string;
  readonly containerd: string;
  readonly kubelet: string;
  /** The four files that the kubelet must find by itself at its next start. */
  readonly kubeletPki: string;
  readonly images: string;
  readonly cni: string;
  /** Where machine-id, os-release, hostname and hosts lie. They are written in the appliance layout only. */
  readonly etc: string;
}

export type Layout = 'default' | 'appliance';

export interface PathSettings {
  readonly layout: Layout;
  readonly state?: string | undefined;
  readonly run?: string | undefined;
}

/**
 * The `default` layout keeps everything below two folders, as on a host with other software on it; `appliance` has
 * the fixed mount points of an image that is nothing but a node.
 */
export function pathsFor(settings: PathSettings): Paths {
  const run = path.resolve(settings.run ?? '/run/hamlet');
  switch (settings.layout) {
    case 'default': {
      const state = path.resolve(settings.state ?? '/var/lib/hamlet');
      return {
        state,
        run,
        etcd: path.join(state, 'etcd'),
        containerd: path.join(state, 'containerd'),
        kubelet: path.join(state, 'kubelet'),
        kubeletPki: path.join(state, 'pki'),
        images: path.join(state, 'images'),
        cni: path.join(state, 'cni'),
        etc: '/etc',
      };
    }
    case 'appliance': {
      const state = path.resolve(settings.state ?? '/data');
      return {
        state,
        run,
        etcd: '/consensus',
        containerd: '/containerd',
        kubelet: '/kubernetes',
        kubeletPki: '/kubernetes/pki',
        images: path.join(state, 'images'),
        cni: path.join(state, 'cni'),
        etc: '/etc',
      };
    }
    default:
      return settings.layout satisfies never;
  }
}

/** The restarts of everything on the node; they outlive the machine's. */
export function historyFile(state: string): string {
  return path.join(state, 'restarts.jsonl');
}

/** Paths below the run folder, named once. */
export function runPaths(run: string) {
  return {
    mesh: path.join(run, 'mesh'),
    /** One ramfs, with a folder for each component that gets secrets. */
    secrets: path.join(run, 'secrets'),
    /** The components' output pipes. */
    pipes: path.join(run, 'pipes'),
    /** The host's table of children, for the run after this one. */
    children: path.join(run, 'children.json'),
    /** Which of the files that were built have been compared with their SHA-256 since the machine's boot. */
    checked: path.join(run, 'checked.json'),
    debugSocket: path.join(run, 'debug.sock'),
    lock: path.join(run, 'hamlet.lock'),
    /** Which version of Hamlet is to go on, and whether it could. */
    upgrade: path.join(run, 'upgrade.json'),
    etcd: path.join(run, 'etcd'),
    containerd: path.join(run, 'containerd'),
    /** PATH of the components. */
    bin: path.join(run, 'bin'),
  };
}

/**
 * The socket file that etcd makes of `unix://client:0` in its working folder: 3.4 listens on a Unix socket only under
 * a relative name with a port, and the port stays part of the file's name.
 */
export function etcdSocket(run: string): string {
  return path.join(runPaths(run).etcd, 'client:0');
}

/** containerd's gRPC and CRI socket. */
export function containerdSocket(run: string): string {
  return path.join(runPaths(run).containerd, 'containerd.sock');
}
