import path from 'node:path';
import { ensureFolder } from '../../../lib/files.js';
import { kubeCommand } from '../../../platform/components.js';
import { untilListening } from '../../../platform/port-holder.js';
import { containerdSocket } from '../../../platform/paths.js';
import { usual, type Component, type Context } from '../component.js';
import type { ImageImporter } from '../images.js';
import { kubeletConfiguration } from '../kubelet-configuration.js';
import { probeHttp } from '../probes.js';

/** The kubelet on containerd's socket. Four credential files stay on disk, for its next start without us. */
export function kubelet(context: Context, images: ImageImporter): Component {
  const { config, components, features, node } = context;
  const file = path.join(config.paths.run, 'kubelet.json');
  const volumePluginDir = path.join(config.paths.run, 'volume-plugins');
  const endpoint = `unix://${containerdSocket(config.paths.run)}`;
  const settings = kubeletConfiguration(context, { volumePluginDir, endpoint });
  return {
    ...usual,
    name: 'kube.kubelet',
    needs: ['containerd', 'etcd'],
    // From its port's opening to its readiness the API server takes seconds; the kubelet has enough to do meanwhile.
    follows: ['kube.apiserver'],
    credentials: 'state',
    volatile: ['client.crt', 'client.key'],
    // Its own certificate it reads again by itself in the releases from 1.31 on, and in this project's own build.
    reloads: ['ca.crt', 'kubelet.crt', 'kubelet.key', 'client.crt', 'client.key'],
    serves: { port: config.ports.kubelet, file: 'kubelet.crt' },
    // What it knows the API server by is in there; the rest of it stays as it is.
    trustsAtStart: ['kubelet.kubeconfig'],
    async prepare(signal, waitingFor) {
      ensureFolder(config.paths.kubelet);
      ensureFolder(volumePluginDir);
      // A request that is made before the API server serves waits and is answered first of all; one that is refused,
      // because the port is not open, would be tried again seconds later.
      await Promise.all([
        waitingFor('ImagesImported', images.imported(signal)),
        waitingFor('APIServerListens', untilListening(config.ports.apiserver, signal)),
      ]);
    },
    command: () => ({
      cwd: config.paths.run,
      files: [{ path: file, text: JSON.stringify(settings, null, 2), mode: 0o644 }],
      env: {
        // Of Hamlet's patches: without programs, whatever is on the PATH.
        KUBELET_MOUNT_BY: 'syscall',
        // It asks Amazon's metadata service for the credentials of a registry, and where nobody answers at its address,
        // as behind most routers, that holds up its start for six seconds.
        ...(!context.machine.isEc2 && { AWS_EC2_METADATA_DISABLED: 'true' }),
      },
      argv: [
        ...kubeCommand(components, 'kubelet'),
        `--config=${file}`,
        `--kubeconfig=${path.join(config.paths.kubeletPki, 'kubelet.kubeconfig')}`,
        `--hostname-override=${node.name}`,
        `--node-ip=${node.address}`,
        `--root-dir=${config.paths.kubelet}`,
        `--cert-dir=${config.paths.kubeletPki}`,
        ...(features.containerRuntimeFlag ? ['--container-runtime=remote'] : []),
        ...(features.containerRuntimeEndpointFlag ? [`--container-runtime-endpoint=${endpoint}`] : []),
        // So that the image collector leaves the pause image alone.
        ...(features.podInfraImageFlag ? [`--pod-infra-container-image=${components.pauseImage.ref}`] : []),
      ],
    }),
    async probe(signal) {
      await probeHttp({ port: config.ports.kubeletHealth, path: '/healthz' }, signal);
    },
  };
}
