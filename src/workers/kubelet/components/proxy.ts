import path from 'node:path';
import { ensureFolder } from '../../../lib/files.js';
import { kubeCommand } from '../../../platform/components.js';
import { secretsFolder, usual, type Component, type Context } from '../component.js';
import { probeHttp } from '../probes.js';

/** kube-proxy in iptables mode. */
export function proxy(context: Context): Component {
  const { config, components } = context;
  const file = path.join(config.paths.run, 'kube-proxy.json');
  const kubeconfig = path.join(secretsFolder(context, 'kube.proxy'), 'kubeconfig');
  return {
    ...usual,
    name: 'kube.proxy',
    needs: ['kube.apiserver'],
    credentials: 'ramfs',
    prepare() {
      ensureFolder(config.paths.run);
    },
    command: () => ({
      cwd: config.paths.run,
      files: [{ path: file, text: JSON.stringify(proxyConfiguration(context, kubeconfig)), mode: 0o644 }],
      argv: [...kubeCommand(components, 'kube-proxy'), `--config=${file}`],
    }),
    async probe(signal) {
      await probeHttp({ port: config.ports.proxyHealth, path: '/healthz' }, signal);
    },
  };
}

/** https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/ */
function proxyConfiguration({ config, machine, node }: Context, kubeconfig: string) {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    hostnameOverride: node.name,
    clientConnection: { kubeconfig },
    // Given, it is the node's address; else the proxy waits for the Node object to look it up.
    bindAddress: node.address,
    clusterCIDR: config.network.podCidr,
    healthzBindAddress: `127.0.0.1:${config.ports.proxyHealth}`,
    metricsBindAddress: `127.0.0.1:${config.ports.proxyMetrics}`,
    // Where a bridge's traffic passes iptables by, an answer from one pod to another would skip the way back through
    // the service's address, unless the question came from the node itself.
    iptables: { masqueradeAll: !machine.bridgeCallsIptables },
    // The machine's own connection tracking limits are not ours to change.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  };
}
