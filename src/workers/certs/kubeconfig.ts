export interface KubeconfigOptions {
  /** Where the API server is; without an address, on this machine. */
  readonly address?: string | undefined;
  readonly port: number;
  /** The user's name in the file; whom the certificate names is what counts. */
  readonly user: string;
  /** PEM, like the certificate and the key below. */
  readonly authority: string;
  readonly client:
    | { readonly certificate: string; readonly privateKey: string }
    | { readonly certificateFile: string; readonly keyFile: string };
}

/**
 * A kubeconfig with everything in it, or the places of the client's files, and one context, `hamlet`
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
      server: https://${options.address ?? '127.0.0.1'}:${options.port}
      certificate-authority-data: ${base64(options.authority)}
users:
  - name: ${user}
    user:
      ${clientLines(options.client).join('\n      ')}
contexts:
  - name: hamlet
    context:
      cluster: hamlet
      user: ${user}
current-context: hamlet
`;
}

function clientLines(client: KubeconfigOptions['client']): string[] {
  if ('certificateFile' in client) {
    const { certificateFile, keyFile } = client;
    return [
      `client-certificate: ${JSON.stringify(certificateFile)}`,
      `client-key: ${JSON.stringify(keyFile)}`,
    ];
  }
  const { certificate, privateKey } = client;
  return [`client-certificate-data: ${base64(certificate)}`, `client-key-data: ${base64(privateKey)}`];
}

function base64(pem: string): string {
  return Buffer.from(pem).toString('base64');
}
