import { createPublicKey, type KeyObject } from 'node:crypto';
import type { CredentialFile, Holder } from '../../ipc/services/certs.js';
import { encryptionConfiguration } from './encryption.js';
import { kubeconfig } from './kubeconfig.js';
import { trusted, type Credential, type Pki } from './pki.js';
import type { AuthorityName, LeafName } from './profiles.js';
import path from 'node:path';

/** Where a component finds what is not in its files. */
export interface Places {
  readonly apiserverPort: number;
  /** Below this each component has its secrets in a folder of its name. */
  readonly secretsFolder: string;
}

/** The files that a holder needs (src/ipc/services/certs.ts lists them); etcd and containerd need none. */
export function credentialFiles(pki: Pki, holder: Holder, places: Places): CredentialFile[] {
  const { leaves } = pki;
  const { apiserverPort } = places;
  const authority = file('ca.crt', bundle(pki, 'id-ca'));
  switch (holder) {
    case 'kube.apiserver':
      return [
        authority,
        // The same once more: one is read again when it changes and one is not.
        file('kubelet-ca.crt', bundle(pki, 'id-ca')),
        ...pair('apiserver', leaves.apiserver),
        ...pair('kubelet-client', leaves['apiserver-kubelet-client']),
        file('aggregation-ca.crt', bundle(pki, 'aggregation-ca')),
        ...pair('front-proxy', leaves['front-proxy-client']),
        file('service-account.key', privateKeyPem(pki.serviceAccountKey)),
        file('service-account.pub', publicKeyPem(pki.serviceAccountKey)),
        file('encryption.json', encryptionConfiguration(pki.encryption)),
      ];
    case 'kube.controller-manager':
      return [
        kubeconfigFile('kubeconfig', pki, 'controller-manager-client', apiserverPort),
        authority,
        ...pair('tls', leaves['controller-manager-server']),
        file('service-account.key', privateKeyPem(pki.serviceAccountKey)),
      ];
    case 'kube.scheduler':
      return [
        kubeconfigFile('kubeconfig', pki, 'scheduler-client', apiserverPort),
        authority,
        ...pair('tls', leaves['scheduler-server']),
      ];
    case 'kube.proxy':
      return [kubeconfigFile('kubeconfig', pki, 'proxy-client', apiserverPort)];
    case 'kube.kubelet':
      return [
        kubeletKubeconfig(pki, places),
        authority,
        ...pair('kubelet', leaves['kubelet-server']),
        ...pair('client', leaves['kubelet-client']),
      ];
    case 'debug':
      return [file('ca.crt', bundle(pki, 'debug-ca')), ...pair('tls', leaves['debug-server'])];
    case 'master':
      return [authority, ...pair('client', leaves.master)];
    case 'etcd':
    case 'containerd':
      return [];
    default:
      return holder satisfies never;
  }
}

export function privateKeyPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function publicKeyPem(key: KeyObject): string {
  return createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();
}

function pair(name: string, credential: Credential): CredentialFile[] {
  return [
    file(`${name}.crt`, credential.certificate.toString()),
    file(`${name}.key`, privateKeyPem(credential.privateKey)),
  ];
}

function kubeconfigFile(name: string, pki: Pki, leaf: LeafName, port: number): CredentialFile {
  const { certificate, privateKey } = pki.leaves[leaf];
  return file(
    name,
    kubeconfig({
      port,
      user: leaf,
      authority: bundle(pki, 'id-ca'),
      client: { certificate: certificate.toString(), privateKey: privateKeyPem(privateKey) },
    }),
  );
}

/** The kubelet reads its certificate again when it is in a file of its own; it lies with its other secrets. */
function kubeletKubeconfig(pki: Pki, { apiserverPort, secretsFolder }: Places): CredentialFile {
  const folder = path.join(secretsFolder, 'kube.kubelet');
  return file(
    'kubelet.kubeconfig',
    kubeconfig({
      port: apiserverPort,
      user: 'kubelet-client',
      authority: bundle(pki, 'id-ca'),
      client: { certificateFile: path.join(folder, 'client.crt'), keyFile: path.join(folder, 'client.key') },
    }),
  );
}

/** All authorities of a name that are trusted, one PEM after the other. */
export function bundle(pki: Pki, name: AuthorityName): string {
  return trusted(pki, name).join('');
}

function file(name: string, text: string): CredentialFile {
  return { name, data: Buffer.from(text) };
}
