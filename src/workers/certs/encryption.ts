import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { backdatedMs } from './profiles.js';

/** XSalsa20 and Poly1305: no limit on how much one key may encrypt, unlike AES-GCM with random nonces. */
const keyBytes = 32;

/** How much longer than its life a key waits for an API server that has not taken its successor yet. */
const patienceShare = 1 / 3;

const record = v.strictObject({
  /** The first one encrypts, all of them decrypt; at most two. */
  keys: v.pipe(
    v.array(
      v.strictObject({
        name: v.pipe(v.string(), v.regex(/^[a-z0-9-]+$/)),
        /** base64. */
        secret: v.string(),
        /** Wall clock, milliseconds since the epoch. */
        madeMs: v.number(),
      }),
    ),
    v.minLength(1),
    v.maxLength(2),
  ),
  /** The name of a key by which every Secret in etcd is known to be encrypted; empty when some may be plain. */
  written: v.string(),
});

/** The keys by which the API server encrypts Secrets, as they lie in etcd, sealed. */
export type Encryption = v.InferOutput<typeof record>;

/** Throws for anything but a record that encryptionRecord() made. */
export function parseEncryption(value: Uint8Array): Encryption {
  return v.parse(record, JSON.parse(Buffer.from(value).toString('utf8')));
}

export function encryptionRecord(encryption: Encryption): Uint8Array {
  return Buffer.from(JSON.stringify(encryption));
}

/** The keys of a cluster that has no Secrets yet, or of one that has them in plain. */
export function newEncryption(nowMs: number, hasPlainSecrets: boolean): Encryption {
  const key = newKey(nowMs);
  return { keys: [key], written: hasPlainSecrets ? '' : key.name };
}

/** The key that encrypts. */
export function currentKey({ keys }: Encryption) {
  const [current] = keys;
  if (current === undefined) throw new TypeError('there is no key');
  return current;
}

/** A new key before the one that there is. */
export function rotatedEncryption(encryption: Encryption, nowMs: number): Encryption {
  return { keys: [newKey(nowMs), currentKey(encryption)], written: encryption.written };
}

/** The same when every Secret is known to be encrypted by the current key: those before it are of no use any more. */
export function writtenEncryption(encryption: Encryption): Encryption {
  const current = currentKey(encryption);
  return { keys: [current], written: current.name };
}

/**
 * When the next key is due, milliseconds since the epoch; never while Secrets may still be encrypted by another than
 * the current one, which would be lost with the key before it.
 */
export function encryptionDueMs(encryption: Encryption, lifetimeMs: number): number {
  return isPending(encryption) ? Infinity : currentKey(encryption).madeMs + lifetimeMs;
}

/** Whether the next key is due because the clock was ahead when this one was made: it would live too long. */
export function isEarlyKey(encryption: Encryption, nowMs: number): boolean {
  return !isPending(encryption) && currentKey(encryption).madeMs > nowMs + backdatedMs;
}

/** Whether some Secrets may be encrypted by another key than the current one, or not at all. */
export function isPending(encryption: Encryption): boolean {
  return currentKey(encryption).name !== encryption.written;
}

/** Whether a key has waited so long for the API server's next start that it is worth one of its own. */
export function isOverdue(encryption: Encryption, nowMs: number, lifetimeMs: number): boolean {
  return isPending(encryption) && nowMs >= currentKey(encryption).madeMs + lifetimeMs * patienceShare;
}

/** What each value in etcd begins with that the current key has encrypted. */
export function currentPrefix(encryption: Encryption): string {
  return `k8s:enc:secretbox:v1:${currentKey(encryption).name}:`;
}

/**
 * The API server's configuration (https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/); JSON is YAML.
 * Plain Secrets are readable as long as there may be some, and not a moment longer.
 */
export function encryptionConfiguration({ keys, written }: Encryption): string {
  return JSON.stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [
      {
        resources: ['secrets'],
        providers: [
          { secretbox: { keys: keys.map(({ name, secret }) => ({ name, secret })) } },
          ...(written === '' ? [{ identity: {} }] : []),
        ],
      },
    ],
  });
}

function newKey(nowMs: number) {
  const [name, secret] = [randomBytes(4).toString('hex'), randomBytes(keyBytes).toString('base64')];
  return { name: `key-${name}`, secret, madeMs: nowMs };
}
