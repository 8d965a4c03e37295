import * as v from 'valibot';
import { componentNames } from '../../lib/names.js';
import { service, stream, unary } from '../contract.js';
import { bytes, count, empty, name, positive } from './fields.js';

/** Who credentials are made for: the components that need some, the debug API, and `master`, the node's own administrator. */
export const holder = v.picklist([...componentNames, 'debug', 'master']);
export type Holder = v.InferOutput<typeof holder>;

export const credentialFile = v.strictObject({ name, data: bytes });
export type CredentialFile = v.InferOutput<typeof credentialFile>;

export const certificateInfo = v.strictObject({
  name,
  /** "O=system:masters, CN=hamlet:master" */
  subject: v.string(),
  issuer: name,
  usage: v.picklist(['authority', 'serving', 'client']),
  /** The component or worker that has it. */
  holder: name,
  /** Hex. */
  serial: v.string(),
  /** Wall clock, milliseconds since the epoch. */
  notBeforeMs: v.number(),
  notAfterMs: v.number(),
  /** When the next one is issued; null for one that is not renewed by itself. */
  renewalMs: v.nullable(v.number()),
  /** DNS names and addresses. */
  names: v.array(v.string()),
});
export type CertificateInfo = v.InferOutput<typeof certificateInfo>;

/** How far a rotation of the authorities is; `none` while none is under way. */
export const rotationStatus = v.strictObject({
  phase: v.picklist(['none', 'trusting', 'settling', 'replaced']),
  /** A sentence for people. */
  message: v.string(),
});

/**
 * How far Secrets are encrypted by the current key: `waiting` for an API server that has it, `writing` while some are
 * still to be written again, `done` when none is.
 */
export const encryptionProgress = v.picklist(['waiting', 'writing', 'done']);
export type EncryptionProgress = v.InferOutput<typeof encryptionProgress>;

/** The key by which Secrets are encrypted in etcd. Wall clock, milliseconds since the epoch. */
export const secretsKeyInfo = v.strictObject({
  name,
  madeMs: v.number(),
  /** When the next one is made; null while Secrets have yet to be written by this one. */
  renewalMs: v.nullable(v.number()),
});

/** What a client of the debug API may be called: it is told apart by this in logs and records. RFC 5280 allows 64. */
export const clientName = /^[\w.:@-]{1,64}$/;

/** Who asks, as far as the node can tell; null for what it cannot. */
export const caller = v.strictObject({
  transport: v.picklist(['unix', 'tcp', 'tls']),
  uid: v.nullable(count),
  pid: v.nullable(positive),
  /** Over TLS: whose certificate it is, and its serial number in hex. */
  certificate: v.optional(v.strictObject({ name: v.string(), serial: v.string() })),
});
export type Caller = v.InferOutput<typeof caller>;

/** One credential that was handed out to a debug client, or that the configuration forbade. */
export const issuedCredential = v.strictObject({
  /** Wall clock, milliseconds since the epoch. */
  atMs: v.number(),
  caller,
  id: v.string(),
  groups: v.array(v.string()),
  /** Hex; empty, and the end 0, for one that was refused. */
  serial: v.string(),
  expiresAtMs: v.number(),
  /** The setting that forbade it. */
  refused: v.optional(v.string()),
});
export type IssuedCredential = v.InferOutput<typeof issuedCredential>;

/** The PKI in etcd. Every call waits for it within the caller's deadline, then UNAVAILABLE with what it waits for. */
export const certs = service('certs', {
  /**
   * The files a holder needs, as PEM or kubeconfig:
   * kube.apiserver: ca.crt, kubelet-ca.crt, apiserver.crt, apiserver.key, kubelet-client.crt, kubelet-client.key, aggregation-ca.crt,
   * front-proxy.crt, front-proxy.key, service-account.key, service-account.pub, encryption.json;
   * kube.controller-manager: kubeconfig, ca.crt, tls.crt, tls.key, service-account.key;
   * kube.scheduler: kubeconfig, ca.crt, tls.crt, tls.key; kube.proxy: kubeconfig;
   * kube.kubelet: kubelet.kubeconfig, ca.crt, kubelet.crt, kubelet.key, client.crt, client.key;
   * debug: ca.crt, tls.crt, tls.key; master: ca.crt, client.crt, client.key.
   */
  credentials: unary(v.strictObject({ holder }), v.strictObject({ files: v.array(credentialFile) }), {
    deadlineMs: 30_000,
    idempotent: true,
  }),
  /**
   * An item when there is a PKI and one whenever certificates have been issued anew: ask for `credentials` again.
   * Also one every ten minutes, so that who missed one for any reason has not missed it for long.
   * `thorough`: the authorities have to be trusted also where a component learns of them only at its start.
   * `overdue`: what can wait for a component's next start has waited long enough.
   */
  renewals: stream(
    empty,
    v.strictObject({ revision: positive, thorough: v.boolean(), overdue: v.boolean() }),
  ),
  /** Every component has what an item of `renewals` was about. */
  delivered: unary(v.strictObject({ revision: positive }), empty, { deadlineMs: 5_000, idempotent: true }),
  /** Begins a rotation of the authorities, or says how far the one is that is under way. UNAVAILABLE without a PKI. */
  rotate: unary(empty, rotationStatus, { deadlineMs: 15_000, idempotent: true }),
  /**
   * How far Secrets are encrypted by the current key. While that is not on record, what is in etcd is looked at: ask
   * again after writing.
   */
  encryption: unary(empty, v.strictObject({ progress: encryptionProgress }), {
    deadlineMs: 30_000,
    idempotent: true,
  }),
  /**
   * A kubeconfig with a fresh client certificate, on record before it is given. UNAVAILABLE at once while there is no
   * PKI, PERMISSION_DENIED for whom the configuration does not allow.
   */
  debugKubeconfig: unary(
    v.strictObject({
      id: v.pipe(v.string(), v.nonEmpty(), v.maxLength(253)),
      groups: v.pipe(v.array(v.pipe(v.string(), v.nonEmpty(), v.maxLength(253))), v.maxLength(64)),
      ttlSeconds: v.optional(positive),
      caller,
    }),
    v.strictObject({ kubeconfig: v.string(), expiresAtMs: v.number() }),
    { deadlineMs: 5_000, idempotent: true },
  ),
  /**
   * A client certificate for the debug API itself, for use from other machines: the certificate, its key and the
   * authorities of the node's own, as PEM. On record like a kubeconfig, with the role as its group.
   */
  debugClient: unary(
    v.strictObject({
      name: v.pipe(v.string(), v.regex(clientName)),
      role: v.picklist(['read', 'admin']),
      ttlSeconds: v.optional(positive),
      caller,
    }),
    v.strictObject({ pem: v.string(), expiresAtMs: v.number() }),
    { deadlineMs: 5_000, idempotent: true },
  ),
  /** The record of debugKubeconfig and debugClient: the last credentials that were given or refused, oldest first. */
  issued: unary(
    v.strictObject({ last: v.pipe(count, v.maxValue(10_000)) }),
    v.strictObject({ credentials: v.array(issuedCredential) }),
    { deadlineMs: 5_000, idempotent: true },
  ),
  /** Every certificate of the PKI; UNAVAILABLE at once while there is none. */
  list: unary(
    empty,
    v.strictObject({
      certificates: v.array(certificateInfo),
      rotation: rotationStatus,
      secretsKey: secretsKeyInfo,
    }),
    { deadlineMs: 5_000, idempotent: true },
  ),
  /** SHA-256 fingerprints of the CAs, as a way to see that the PKI is the same one. */
  authorities: unary(
    empty,
    v.strictObject({
      authorities: v.array(v.strictObject({ name, sha256: v.string(), notAfterMs: v.number() })),
    }),
    { deadlineMs: 5_000, idempotent: true },
  ),
});
