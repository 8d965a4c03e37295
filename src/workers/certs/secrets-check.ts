import type { EncryptionProgress } from '../../ipc/services/certs.js';
import {
  currentKey,
  currentPrefix,
  encryptionRecord,
  isPending,
  writtenEncryption,
  type Encryption,
} from './encryption.js';
import { encryptionKey, encryptionOf } from './pki.js';
import type { EtcdStore, PkiStore } from './store.js';

/** Where the API server keeps Secrets, with its usual --etcd-prefix. */
const secretsPrefix = '/registry/secrets/';

/**
 * Looks how far Secrets in etcd are encrypted by the current key; when all of them are, that is put on record, and the
 * key before it is taken away. `etcd` is the store behind `store`. Throws UNAVAILABLE when etcd does not answer.
 */
export async function checkSecrets(
  etcd: Pick<EtcdStore, 'countPrefixed'>,
  store: PkiStore,
  encryption: Encryption,
  signal: AbortSignal,
): Promise<EncryptionProgress> {
  const { all, prefixed } = await etcd.countPrefixed(secretsPrefix, currentPrefix(encryption), signal);
  // Without a single Secret by the new key nothing says that the API server has it: it may write by the old one.
  if (prefixed === 0) return 'waiting';
  if (prefixed < all) return 'writing';
  const snapshot = await store.read(signal);
  const held = encryptionOf(snapshot.values);
  // Another key may have come in between: what was looked at says nothing about that one.
  if (held === undefined || currentKey(held).name !== currentKey(encryption).name) return 'waiting';
  if (!isPending(held)) return 'done';
  const changes = new Map([[encryptionKey, encryptionRecord(writtenEncryption(held))]]);
  return (await store.write(changes, snapshot, signal)) ? 'done' : 'writing';
}
