import path from 'node:path';
import { ensureFolder } from '../../../lib/files.js';
import { kubeCommand } from '../../../platform/components.js';
import { etcdSocket, runPaths } from '../../../platform/paths.js';
import { stopPatienceMs } from '../../../platform/stop-patience.js';
import { secretsFolder, usual, type Component, type Context } from '../component.js';
import { probeHttps, type ProbeCredentials } from '../probes.js';

/** kube-apiserver: etcd behind it, Node and RBAC authorization, the node's pod security in admission. */
export function apiserver(context: Context, credentials: ProbeCredentials): Component {
  const { config, components, features } = context;
  const secrets = secretsFolder(context, 'kube.apiserver');
  const secret = (name: string) => path.join(secrets, name);
  const admission = path.join(config.paths.run, 'admission.json');
  return {
    ...usual,
    name: 'kube.apiserver',
    needs: ['etcd'],
    credentials: 'ramfs',
    keepsCredentials: true,
    // It looks at these now and then (Rereads), or when it opens a connection. What it knows the kubelet by is read once.
    reloads: [
      'ca.crt',
      'apiserver.crt',
      'apiserver.key',
      'kubelet-client.crt',
      'kubelet-client.key',
      'front-proxy.crt',
      'front-proxy.key',
      'aggregation-ca.crt',
      ...(features.encryptionConfigReload ? ['encryption.json'] : []),
    ],
    waitsForStart: features.encryptionConfigReload ? [] : ['encryption.json'],
    trustsAtStart: ['kubelet-ca.crt'],
    // /readyz asks etcd, which may have an election or a slow disk to get over.
    probeTimeoutMs: 5_000,
    stopPatienceMs: stopPatienceMs('kube.apiserver'),
    prepare() {
      ensureFolder(config.paths.run);
    },
    command: () => ({
      cwd: runPaths(config.paths.run).etcd,
      files: features.podSecurityPolicy
        ? []
        : [{ path: admission, text: podSecurityDefaults(), mode: 0o644 }],
      argv: [
        ...kubeCommand(components, 'kube-apiserver'),
        `--advertise-address=${context.node.address}`,
        `--secure-port=${config.ports.apiserver}`,
        ...(features.insecurePortFlag ? ['--insecure-port=0'] : []),
        // Four slashes: the scheme's two, an empty host, and an absolute path.
        `--etcd-servers=unix:///${etcdSocket(config.paths.run)}`,
        `--service-cluster-ip-range=${config.network.serviceCidr}`,
        '--authorization-mode=Node,RBAC',
        `--enable-admission-plugins=NodeRestriction${features.podSecurityPolicy ? ',PodSecurityPolicy' : ''}`,
        ...(features.podSecurityPolicy ? [] : [`--admission-control-config-file=${admission}`]),
        '--allow-privileged=true',
        '--profiling=false',
        `--client-ca-file=${secret('ca.crt')}`,
        `--tls-cert-file=${secret('apiserver.crt')}`,
        `--tls-private-key-file=${secret('apiserver.key')}`,
        `--kubelet-certificate-authority=${secret('kubelet-ca.crt')}`,
        `--kubelet-client-certificate=${secret('kubelet-client.crt')}`,
        `--kubelet-client-key=${secret('kubelet-client.key')}`,
        // The node's name need not resolve anywhere; its address is in the kubelet's certificate.
        '--kubelet-preferred-address-types=InternalIP,Hostname',
        `--requestheader-client-ca-file=${secret('aggregation-ca.crt')}`,
        '--requestheader-allowed-names=front-proxy-client',
        '--requestheader-username-headers=X-Remote-User',
        '--requestheader-group-headers=X-Remote-Group',
        '--requestheader-extra-headers-prefix=X-Remote-Extra-',
        `--proxy-client-cert-file=${secret('front-proxy.crt')}`,
        `--proxy-client-key-file=${secret('front-proxy.key')}`,
        `--encryption-provider-config=${secret('encryption.json')}`,
        ...(features.encryptionConfigReload ? ['--encryption-provider-config-automatic-reload=true'] : []),
        `--service-account-key-file=${secret('service-account.pub')}`,
        `--service-account-signing-key-file=${secret('service-account.key')}`,
        `--service-account-issuer=https://kubernetes.default.svc.${config.network.clusterDomain}`,
      ],
    }),
    async probe(signal) {
      await probeHttps(config.ports.apiserver, '/readyz', credentials, signal);
    },
  };
}

/** Pod Security admission at `baseline` for every namespace that says nothing else: 1.25 and later. */
function podSecurityDefaults(): string {
  const defaults = { enforce: 'baseline', 'enforce-version': 'latest' };
  return JSON.stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'AdmissionConfiguration',
    plugins: [
      {
        name: 'PodSecurity',
        configuration: {
          apiVersion: 'pod-security.admission.config.k8s.io/v1',
          kind: 'PodSecurityConfiguration',
          defaults,
          exemptions: { usernames: [], runtimeClasses: [], namespaces: ['kube-system'] },
        },
      },
    ],
  });
}
