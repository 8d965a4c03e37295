import path from 'node:path';
import type { Context } from './component.js';

/** How often the kubelet looks whether its node's status has changed; 10 s would be how long a ready node waits. */
const statusUpdateFrequency = '1s';
/** How often it posts a status in which nothing has changed. Unset, it would follow the setting above. */
const statusReportFrequency = '5m';
/**
 * Requests a second to the API server, and at once: the defaults since Kubernetes 1.27. With those before it, 5 and 10, a
 * new node waits for its own requests.
 */
const apiRequests = { kubeAPIQPS: 50, kubeAPIBurst: 100 };

/**
 * The kubelet's configuration file for the release in `context`
 * (https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/).
 */
export function kubeletConfiguration(
  { config, machine, features }: Context,
  { volumePluginDir, endpoint }: { volumePluginDir: string; endpoint: string },
) {
  const pki = (name: string) => path.join(config.paths.kubeletPki, name);
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    port: config.ports.kubelet,
    readOnlyPort: 0,
    healthzBindAddress: '127.0.0.1',
    healthzPort: config.ports.kubeletHealth,
    tlsCertFile: pki('kubelet.crt'),
    tlsPrivateKeyFile: pki('kubelet.key'),
    tlsMinVersion: 'VersionTLS13',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: false },
      x509: { clientCAFile: pki('ca.crt') },
    },
    // Who may use the kubelet's API is RBAC's business like everything else: it asks the apiserver.
    authorization: { mode: 'Webhook' },
    clusterDNS: config.network.clusterDns,
    clusterDomain: config.network.clusterDomain,
    enableControllerAttachDetach: false,
    hairpinMode: 'none',
    makeIPTablesUtilChains: false,
    failSwapOn: false,
    cgroupDriver: machine.cgroupDriver,
    ...(features.failCgroupV1 && machine.cgroups !== 'v2' && { failCgroupV1: false }),
    kubeReserved: { cpu: '200m', memory: '300Mi' },
    volumePluginDir,
    nodeStatusUpdateFrequency: statusUpdateFrequency,
    nodeStatusReportFrequency: statusReportFrequency,
    ...apiRequests,
    ...(!features.containerRuntimeEndpointFlag && { containerRuntimeEndpoint: endpoint }),
  };
}
