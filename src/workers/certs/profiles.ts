import type { CertificateRequest, CertificateUsage } from '../../jobs/issue-certificates.js';

/** How far `notBefore` lies in the past: clocks jump at boot, and components' clocks need not agree. */
export const backdatedMs = 5 * 60_000;

/** Kubernetes takes RSA or ECDSA for service account tokens, not ed25519. */
export const serviceAccountKeyBits = 2048;

export const authorityNames = ['id-ca', 'aggregation-ca', 'debug-ca'] as const;
export type AuthorityName = (typeof authorityNames)[number];

/** The authority that will sign after this one: made ahead, so that everybody trusts it long before it does. */
export const successorOf = <Name extends AuthorityName>(name: Name) => `${name}-next` as const;
/** The authority that signed before this one, while what it issued is still about. */
export const predecessorOf = <Name extends AuthorityName>(name: Name) => `${name}-previous` as const;

export const leafNames = [
  'apiserver',
  'apiserver-kubelet-client',
  'front-proxy-client',
  'controller-manager-client',
  'controller-manager-server',
  'scheduler-client',
  'scheduler-server',
  'proxy-client',
  'kubelet-client',
  'kubelet-server',
  'debug-server',
  'master',
] as const;
export type LeafName = (typeof leafNames)[number];

/** What certificates say of this node. */
export interface NodeFacts {
  readonly nodeName: string;
  /** The addresses by which others reach the node; none while it has no network. */
  readonly nodeAddresses: readonly string[];
  /** The cluster IP of the service `kubernetes`. */
  readonly firstServiceIp: string;
  readonly clusterDomain: string;
}

/** Everything in a certificate that does not change from one issue to the next. */
export interface Profile {
  readonly issuer: AuthorityName;
  readonly usage: CertificateUsage;
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

const authorityTitles: Readonly<Record<AuthorityName, string>> = {
  'id-ca': 'ID CA',
  'aggregation-ca': 'aggregation CA',
  'debug-ca': 'debug CA',
};

export function authorityProfile(name: AuthorityName, facts: NodeFacts): Profile {
  // The node's name tells the authorities of several nodes apart in one trust store.
  return {
    issuer: name,
    usage: 'authority',
    commonName: `${facts.nodeName} ${authorityTitles[name]}`,
    organizations: [],
    dnsNames: [],
    ipAddresses: [],
  };
}

/** The table of all leaves; docs/pki.md has it in words. */
export function leafProfiles(facts: NodeFacts): Readonly<Record<LeafName, Profile>> {
  const service = 'kubernetes.default.svc';
  return {
    apiserver: serving(
      'kube-apiserver',
      ['kubernetes', 'kubernetes.default', service, `${service}.${facts.clusterDomain}`, 'localhost'],
      ['127.0.0.1', facts.firstServiceIp, ...facts.nodeAddresses],
    ),
    'apiserver-kubelet-client': client('hamlet:apiserver-kubelet-client'),
    'front-proxy-client': { ...client('front-proxy-client'), issuer: 'aggregation-ca' },
    'controller-manager-client': client('system:kube-controller-manager'),
    'controller-manager-server': serving('kube-controller-manager', ['localhost'], local(facts)),
    'scheduler-client': client('system:kube-scheduler'),
    'scheduler-server': serving('kube-scheduler', ['localhost'], local(facts)),
    'proxy-client': client('system:kube-proxy'),
    'kubelet-client': client(`system:node:${facts.nodeName}`, ['system:nodes']),
    'kubelet-server': serving(facts.nodeName, [facts.nodeName], facts.nodeAddresses),
    'debug-server': {
      ...serving(facts.nodeName, [facts.nodeName, 'localhost'], local(facts)),
      issuer: 'debug-ca',
    },
    master: client('hamlet:master', ['system:masters']),
  };
}

/**
 * The request for a certificate of this profile, valid from now (set back a little) for `lifetimeMs`, but no longer
 * than its authority. All times are wall clock, milliseconds since the epoch.
 */
export function requestFor(
  name: string,
  profile: Omit<Profile, 'issuer'> & { readonly issuer: string },
  times: { readonly nowMs: number; readonly lifetimeMs: number; readonly authorityNotAfterMs?: number },
): CertificateRequest {
  return {
    name,
    ...profile,
    notBeforeMs: times.nowMs - backdatedMs,
    notAfterMs: Math.min(times.nowMs + times.lifetimeMs, times.authorityNotAfterMs ?? Infinity),
  };
}

export function client(commonName: string, organizations: readonly string[] = []): Profile {
  return { issuer: 'id-ca', usage: 'client', commonName, organizations, dnsNames: [], ipAddresses: [] };
}

function serving(commonName: string, dnsNames: readonly string[], ipAddresses: readonly string[]): Profile {
  // A service range that begins where the node lives would name an address twice.
  const distinct = [...new Set(ipAddresses)];
  return {
    issuer: 'id-ca',
    usage: 'serving',
    commonName,
    organizations: [],
    dnsNames,
    ipAddresses: distinct,
  };
}

function local(facts: NodeFacts): readonly string[] {
  return ['127.0.0.1', ...facts.nodeAddresses];
}
