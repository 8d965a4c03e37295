import { X509Certificate } from 'node:crypto';
import type { Handlers } from '../../ipc/contract.js';
import { roleGroups } from '../../ipc/debug-roles.js';
import type { Caller, certs } from '../../ipc/services/certs.js';
import type { JobPool } from '../../jobs/pool.js';
import { HamletError } from '../../lib/errors.js';
import type { Lifetimes } from '../../platform/lifetimes.js';
import type { AuditTrail } from './audit.js';
import { bundle } from './credentials.js';
import { refusalOf, type IssuePolicy } from './issue-policy.js';
import { issueClient } from './issue.js';
import { kubeconfig } from './kubeconfig.js';
import type { Pki } from './pki.js';
import { client, type NodeFacts, type Profile } from './profiles.js';

type KubeconfigRequest = Parameters<Handlers<typeof certs>['debugKubeconfig']>[0];
type ClientRequest = Parameters<Handlers<typeof certs>['debugClient']>[0];

export interface DebugCredentialsOptions {
  readonly jobs: JobPool;
  readonly apiserverPort: number;
  readonly lifetimes: Lifetimes;
  readonly facts: NodeFacts;
  readonly policy: IssuePolicy;
  readonly audit: AuditTrail;
  /** The time, milliseconds since the epoch. */
  readonly now: () => number;
}

/** Certificates that people ask for: they are kept nowhere, and each of them is put on record. */
export class DebugCredentials {
  readonly #options: DebugCredentialsOptions;

  constructor(options: DebugCredentialsOptions) {
    this.#options = options;
  }

  /**
   * A kubeconfig of the cluster for whoever is asked for. Throws INVALID_ARGUMENT and PERMISSION_DENIED for what is not
   * to be had, before `readyPki` is asked, and what that throws.
   */
  async kubeconfig(
    readyPki: () => Pki,
    { id, groups, caller, ttlSeconds }: KubeconfigRequest,
    signal: AbortSignal,
  ) {
    const { policy, audit, now, facts, apiserverPort } = this.#options;
    if ([id, ...groups].some((text) => /\p{Cc}/u.test(text))) {
      throw new HamletError('INVALID_ARGUMENT', 'a name holds a control character');
    }
    const refusal = refusalOf(policy, id, groups);
    if (refusal !== undefined) {
      const { setting, message } = refusal;
      audit.add({ atMs: now(), caller, id, groups, serial: '', expiresAtMs: 0, refused: setting });
      throw new HamletError('PERMISSION_DENIED', message);
    }
    const pki = readyPki();
    const issued = await this.#issue(pki, client(id, groups), ttlSeconds, caller, signal);
    return {
      kubeconfig: kubeconfig({
        // Whoever asks from another machine cannot reach this one's loopback.
        address: caller.transport === 'tls' ? facts.nodeAddresses[0] : undefined,
        port: apiserverPort,
        user: id,
        authority: bundle(pki, 'id-ca'),
        client: issued,
      }),
      expiresAtMs: issued.expiresAtMs,
    };
  }

  /** A certificate for the debug API's door for other machines, its key and its authority. Throws INVALID_ARGUMENT. */
  async client(pki: Pki, { name, role, caller, ttlSeconds }: ClientRequest, signal: AbortSignal) {
    const profile: Profile = { ...client(name, [roleGroups[role]]), issuer: 'debug-ca' };
    const { certificate, privateKey, expiresAtMs } = await this.#issue(
      pki,
      profile,
      ttlSeconds,
      caller,
      signal,
    );
    return { pem: `${certificate}${privateKey}${bundle(pki, 'debug-ca')}`, expiresAtMs };
  }

  async #issue(
    pki: Pki,
    profile: Profile,
    ttlSeconds: number | undefined,
    caller: Caller,
    signal: AbortSignal,
  ) {
    const { lifetimes, now, jobs, audit } = this.#options;
    const lifetimeMs = ttlSeconds === undefined ? lifetimes.debugMs : ttlSeconds * 1_000;
    if (lifetimeMs > lifetimes.debugMaxMs) {
      const most = lifetimes.debugMaxMs / 1_000;
      throw new HamletError('INVALID_ARGUMENT', `a debug certificate lasts ${most} seconds at most`);
    }
    const nowMs = now();
    const issued = await issueClient(jobs, pki.authorities, profile, { nowMs, lifetimeMs }, signal);
    // A certificate knows whole seconds.
    const expiresAtMs = Math.floor(issued.notAfterMs / 1_000) * 1_000;
    const serial = new X509Certificate(issued.certificate).serialNumber.toLowerCase();
    const { commonName: id, organizations } = profile;
    audit.add({ atMs: nowMs, caller, id, groups: [...organizations], serial, expiresAtMs });
    return {
      certificate: pem('CERTIFICATE', issued.certificate),
      privateKey: pem('PRIVATE KEY', issued.privateKey),
      expiresAtMs,
    };
  }
}

/** RFC 7468: base64 in lines of 64 characters. */
function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
