export interface KubeconfigOptions {
  /** The API server's port on the loopback address. */
  readonly port: number;
  /** The user's name in the file; whom the certificate names is what counts. */
  readonly user: string;
  /** All PEM. */
  readonly authority: string;
  readonly certificate: string;
  readonly privateKey: string;
}

/**
 * A kubeconfig with everything in it and one context, `hamlet`
 * (https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/).
 */
export function kubeconfig(options: KubeconfigOptions): string {
  // A JSON string is a YAML string, whatever the name holds.
  const user = JSON.stringify(options.user);
  return `apiVersion: v1
kind: Config
clusters:
  - name: hamlet
    cluster:
      server: https://127.0.0.1:${options.port}
      certificate-authority-data: ${base64(options.authority)}
users:
  - name: ${user}
    user:
      client-certificate-data: ${base64(options.certificate)}
      client-key-data: ${base64(options.privateKey)}
contexts:
  - name: hamlet
    context:
      cluster: hamlet
      user: ${user}
current-context: hamlet
`;
}

function base64(pem: string): string {
  return Buffer.from(pem).toString('base64');
}
