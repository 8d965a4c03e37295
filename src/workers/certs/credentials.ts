import { createPublicKey, type KeyObject } from 'node:crypto';
import type { CredentialFile, Holder } from '../../ipc/services/certs.js';
import { kubeconfig } from './kubeconfig.js';
import type { Credential, Pki } from './pki.js';
import type { LeafName } from './profiles.js';

/** The files that a holder needs (src/ipc/services/certs.ts lists them); etcd and containerd need none. */
export function credentialFiles(pki: Pki, holder: Holder, apiserverPort: number): CredentialFile[] {
  const { leaves } = pki;
  const authority = file('ca.crt', pki.authorities['id-ca'].certificate.toString());
  switch (holder) {
    case 'kube.apiserver':
      return [
        authority,
        ...pair('apiserver', leaves.apiserver),
        ...pair('kubelet-client', leaves['apiserver-kubelet-client']),
        file('aggregation-ca.crt', pki.authorities['aggregation-ca'].certificate.toString()),
        ...pair('front-proxy', leaves['front-proxy-client']),
        file('service-account.key', privateKeyPem(pki.serviceAccountKey)),
        file('service-account.pub', publicKeyPem(pki.serviceAccountKey)),
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
        kubeconfigFile('kubelet.kubeconfig', pki, 'kubelet-client', apiserverPort),
        authority,
        ...pair('kubelet', leaves['kubelet-server']),
      ];
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
      authority: pki.authorities['id-ca'].certificate.toString(),
      certificate: certificate.toString(),
      privateKey: privateKeyPem(privateKey),
    }),
  );
}

function file(name: string, text: string): CredentialFile {
  return { name, data: Buffer.from(text) };
}
