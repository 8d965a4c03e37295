import path from 'node:path';
import { kubeCommand } from '../../../platform/components.js';
import { secretsFolder, usual, type Component, type Context } from '../component.js';
import { probeHttps, type ProbeCredentials } from '../probes.js';

/** kube-scheduler, alone on its node and so without leader election. */
export function scheduler(context: Context, credentials: ProbeCredentials): Component {
  const { config, components, features } = context;
  const secrets = secretsFolder(context, 'kube.scheduler');
  const secret = (name: string) => path.join(secrets, name);
  return {
    ...usual,
    name: 'kube.scheduler',
    needs: ['kube.apiserver'],
    credentials: 'ramfs',
    reloads: ['tls.crt', 'tls.key'],
    command: () => ({
      cwd: config.paths.run,
      argv: [
        ...kubeCommand(components, 'kube-scheduler'),
        `--kubeconfig=${secret('kubeconfig')}`,
        `--authentication-kubeconfig=${secret('kubeconfig')}`,
        `--authorization-kubeconfig=${secret('kubeconfig')}`,
        '--bind-address=127.0.0.1',
        `--secure-port=${config.ports.scheduler}`,
        ...(features.componentPortFlag ? ['--port=0'] : []),
        `--tls-cert-file=${secret('tls.crt')}`,
        `--tls-private-key-file=${secret('tls.key')}`,
        '--leader-elect=false',
        '--profiling=false',
      ],
    }),
    async probe(signal) {
      await probeHttps(config.ports.scheduler, '/healthz', credentials, signal);
    },
  };
}
