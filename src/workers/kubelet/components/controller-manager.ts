import path from 'node:path';
import { ensureFolder } from '../../../lib/files.js';
import { kubeCommand } from '../../../platform/components.js';
import { secretsFolder, usual, type Component, type Context } from '../component.js';
import { probeHttps, type ProbeCredentials } from '../probes.js';

/** kube-controller-manager, alone on its node and so without leader election. */
export function controllerManager(context: Context, credentials: ProbeCredentials): Component {
  const { config, components, features } = context;
  const secrets = secretsFolder(context, 'kube.controller-manager');
  const secret = (name: string) => path.join(secrets, name);
  const plugins = path.join(config.paths.run, 'volume-plugins');
  return {
    ...usual,
    name: 'kube.controller-manager',
    needs: ['kube.apiserver'],
    credentials: 'ramfs',
    reloads: ['tls.crt', 'tls.key'],
    prepare() {
      ensureFolder(plugins);
    },
    command: () => ({
      cwd: config.paths.run,
      argv: [
        ...kubeCommand(components, 'kube-controller-manager'),
        `--kubeconfig=${secret('kubeconfig')}`,
        `--authentication-kubeconfig=${secret('kubeconfig')}`,
        `--authorization-kubeconfig=${secret('kubeconfig')}`,
        '--bind-address=127.0.0.1',
        `--secure-port=${config.ports.controllerManager}`,
        ...(features.componentPortFlag ? ['--port=0'] : []),
        `--tls-cert-file=${secret('tls.crt')}`,
        `--tls-private-key-file=${secret('tls.key')}`,
        `--root-ca-file=${secret('ca.crt')}`,
        `--service-account-private-key-file=${secret('service-account.key')}`,
        '--use-service-account-credentials=true',
        '--leader-elect=false',
        // Its controllers start one after the other, a few calls each: 20 calls a second would make that four seconds.
        '--kube-api-qps=200',
        '--kube-api-burst=400',
        '--profiling=false',
        `--cluster-cidr=${config.network.podCidr}`,
        `--service-cluster-ip-range=${config.network.serviceCidr}`,
        `--flex-volume-plugin-dir=${plugins}`,
      ],
    }),
    async probe(signal) {
      await probeHttps(config.ports.controllerManager, '/healthz', credentials, signal);
    },
  };
}
