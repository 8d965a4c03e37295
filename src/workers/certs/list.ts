import type { X509Certificate } from 'node:crypto';
import type { CertificateInfo } from '../../ipc/services/certs.js';
import type { ComponentName } from '../../lib/names.js';
import { currentKey, encryptionDueMs, type Encryption } from './encryption.js';
import { notAfterMs, notBeforeMs, type Pki } from './pki.js';
import {
  authorityNames,
  authorityProfile,
  leafNames,
  leafProfiles,
  predecessorOf,
  successorOf,
  type LeafName,
  type NodeFacts,
  type Profile,
} from './profiles.js';
import { renewalMs } from './stale.js';

/** Who has which leaf; credentials.ts hands them out. */
const holders: Readonly<Record<LeafName, ComponentName | 'hamlet.debug' | 'hamlet.reconciler'>> = {
  apiserver: 'kube.apiserver',
  'apiserver-kubelet-client': 'kube.apiserver',
  'front-proxy-client': 'kube.apiserver',
  'controller-manager-client': 'kube.controller-manager',
  'controller-manager-server': 'kube.controller-manager',
  'scheduler-client': 'kube.scheduler',
  'scheduler-server': 'kube.scheduler',
  'proxy-client': 'kube.proxy',
  'kubelet-client': 'kube.kubelet',
  'kubelet-server': 'kube.kubelet',
  'debug-server': 'hamlet.debug',
  master: 'hamlet.reconciler',
};

/** What people ask about the PKI's certificates, the authorities first. */
export function listCertificates(pki: Pki, facts: NodeFacts, renewAfterShare: number): CertificateInfo[] {
  const profiles = leafProfiles(facts);
  return [
    ...authorityNames.flatMap((name) => {
      const profile = authorityProfile(name, facts);
      const authority = (called: string, certificate: X509Certificate): CertificateInfo =>
        info(called, certificate, { ...profile, issuer: called }, 'hamlet.certs', Infinity);
      const predecessor = pki.predecessors[name];
      return [
        authority(name, pki.authorities[name].certificate),
        authority(successorOf(name), pki.successors[name].certificate),
        ...(predecessor === undefined ? [] : [authority(predecessorOf(name), predecessor)]),
      ];
    }),
    ...leafNames.map((name) => {
      const issuer = pki.authorities[profiles[name].issuer].certificate;
      return info(
        name,
        pki.leaves[name].certificate,
        profiles[name],
        holders[name],
        renewalMs(pki.leaves[name].certificate, issuer, renewAfterShare),
      );
    }),
  ];
}

/** What people ask about the key by which Secrets are encrypted. */
export function describeKey(encryption: Encryption, lifetimeMs: number) {
  const { name, madeMs } = currentKey(encryption);
  const dueMs = encryptionDueMs(encryption, lifetimeMs);
  return { name, madeMs, renewalMs: Number.isFinite(dueMs) ? dueMs : null };
}

function info(
  name: string,
  certificate: X509Certificate,
  profile: Omit<Profile, 'issuer'> & { readonly issuer: string },
  holder: string,
  renewal: number,
): CertificateInfo {
  return {
    name,
    subject: certificate.subject.replaceAll('\n', ', '),
    issuer: profile.issuer,
    usage: profile.usage,
    holder,
    serial: certificate.serialNumber.toLowerCase(),
    notBeforeMs: notBeforeMs(certificate),
    notAfterMs: notAfterMs(certificate),
    renewalMs: Number.isFinite(renewal) ? Math.round(renewal) : null,
    // A leaf for other names than its profile's does not last: it is issued anew.
    names: [...profile.dnsNames, ...profile.ipAddresses],
  };
}
