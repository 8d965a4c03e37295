import * as v from 'valibot';

/** How long certificates are good for, in milliseconds. */
export interface Lifetimes {
  readonly authorityMs: number;
  readonly leafMs: number;
  /** Of a debug client's certificate that is asked for without a time. */
  readonly debugMs: number;
  readonly debugMaxMs: number;
  /** Of a key by which Secrets are encrypted in etcd. */
  readonly secretsKeyMs: number;
  /** A leaf is issued anew when this share of the time between its issue and its end is over. */
  readonly renewAfterShare: number;
}

/** Of the configuration there is no other; tests let leaves age faster. */
const renewAfterShare = 2 / 3;

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * A leaf is replaced when a third of its life is left. Kubernetes' clients read theirs again every five minutes
 * (client-go, transport/cert_rotation.go) and servers every minute, unless they are Hamlet's own build, so that third has to be longer than six.
 */
const minLeafMs = 20 * unitMs.m;

/** A new key means a restart of an API server that reads it only then, and every Secret written again. */
const minSecretsKeyMs = unitMs.h;

/** Who finds an old debug credential must not be able to use it. */
const maxDebugMs = 24 * unitMs.h;

const duration = v.pipe(
  v.string(),
  v.regex(/^[1-9]\d{0,5}[smhd]$/, 'has to be a duration such as 90s, 15m, 12h or 30d'),
  v.transform((text): number => Number(text.slice(0, -1)) * unitMs[text.slice(-1) as keyof typeof unitMs]),
);

/** The section `pki` of the configuration file. */
export const pkiSettings = v.pipe(
  v.strictObject({
    caTtl: v.optional(duration, '3650d'),
    leafTtl: v.optional(duration, '90d'),
    debugTtl: v.optional(duration, '1h'),
    debugTtlMax: v.optional(duration, '24h'),
    secretsKeyTtl: v.optional(duration, '90d'),
  }),
  v.check(
    ({ leafTtl }) => leafTtl >= minLeafMs,
    'leafTtl has to be 20m at least: some components read their certificates again only every five minutes',
  ),
  v.check(({ caTtl, leafTtl }) => caTtl >= 2 * leafTtl, 'caTtl has to be twice leafTtl at least'),
  v.check(({ debugTtl, debugTtlMax }) => debugTtl <= debugTtlMax, 'debugTtl is longer than debugTtlMax'),
  v.check(({ debugTtlMax }) => debugTtlMax <= maxDebugMs, 'debugTtlMax has to be 24h at most'),
  v.check(({ secretsKeyTtl }) => secretsKeyTtl >= minSecretsKeyMs, 'secretsKeyTtl has to be 1h at least'),
  v.transform(({ caTtl, leafTtl, debugTtl, debugTtlMax, secretsKeyTtl }): Lifetimes => ({
    authorityMs: caTtl,
    leafMs: leafTtl,
    debugMs: debugTtl,
    debugMaxMs: debugTtlMax,
    secretsKeyMs: secretsKeyTtl,
    renewAfterShare,
  })),
);

/** What holds unless the configuration says otherwise. */
export const defaultLifetimes: Lifetimes = v.parse(pkiSettings, {});
