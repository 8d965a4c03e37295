import path from 'node:path';
import { ensureFolder } from '../../../lib/files.js';
import { containerdSocket, runPaths } from '../../../platform/paths.js';
import { cniConfiguration } from '../cni.js';
import { usual, type Component, type Context } from '../component.js';
import { callCri, notReady } from '../cri.js';

/** containerd with its CRI plugin; its containers belong to its shims and outlive it. */
export function containerd(context: Context): Component {
  const { paths, network } = context.config;
  const run = runPaths(paths.run);
  const configuration = path.join(run.containerd, 'config.toml');
  const cniFolder = path.join(paths.cni, 'net.d');
  return {
    ...usual,
    name: 'containerd',
    needs: [],
    // Everything waits for etcd at first, and on a small machine the two would take the processor from each other.
    yieldsTo: ['etcd'],
    credentials: 'none',
    // While it unpacks a large image or takes a full disk apart its answers are slow, and a restart would not help.
    probeTimeoutMs: 5_000,
    // Woken to stop, it takes what the pods have written meanwhile out of their pipes, and ends before all of it is in their
    // logs. What nobody has read stays in the pipes, which the shims keep open, for the next containerd.
    killedWhenHung: true,
    prepare() {
      ensureFolder(run.containerd, 0o711);
      ensureFolder(paths.containerd, 0o711);
      ensureFolder(cniFolder);
    },
    command: () => ({
      cwd: run.containerd,
      argv: [context.components.containerd, '--config', configuration],
      files: [
        { path: configuration, text: containerdConfiguration(context, cniFolder), mode: 0o600 },
        {
          path: path.join(cniFolder, '10-hamlet.conflist'),
          text: cniConfiguration({ ...network, dataDir: path.join(paths.cni, 'ipam') }),
          mode: 0o644,
        },
      ],
    }),
    async probe(signal) {
      const reply = await callCri(containerdSocket(paths.run), 'RuntimeService/Status', signal);
      const problem = notReady(reply, 'RuntimeReady');
      if (problem !== undefined) throw new Error(problem);
    },
  };
}

/** The settings that differ from containerd's own; the rest stays as it is (containerd-config.toml(5)). */
function containerdConfiguration({ config, components, machine }: Context, cniFolder: string): string {
  const run = runPaths(config.paths.run);
  const quote = JSON.stringify;
  return `version = 2
root = ${quote(config.paths.containerd)}
state = ${quote(path.join(run.containerd, 'state'))}
# Nothing on a node of this kind uses these, and each costs a part of the start.
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
  # This one would make /opt/containerd.
  "io.containerd.internal.v1.opt",
]

[grpc]
  address = ${quote(containerdSocket(config.paths.run))}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${quote(components.pauseImage.ref)}
  stream_server_address = "127.0.0.1"
  # Without CAP_SYS_RESOURCE a pod's negative oom_score_adj is refused, and runc gives up with a broken pipe.
  restrict_oom_score_adj = ${!machine.mayRaiseLimits}
  disable_apparmor = ${!machine.apparmor}

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${quote(components.cniBinDir)}
    conf_dir = ${quote(cniFolder)}

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = ${quote(components.runc)}
      SystemdCgroup = ${machine.cgroupDriver === 'systemd'}
`;
}
