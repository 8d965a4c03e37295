import { generateKeyPairSync, type webcrypto } from 'node:crypto';

/** An ed25519 key pair as Web Crypto takes it, and its private half as PKCS #8 DER. */
export interface Ed25519Pair {
  readonly publicJwk: webcrypto.JsonWebKey;
  readonly privateJwk: webcrypto.JsonWebKey;
  readonly privateDer: Uint8Array;
}

const keyBytes = 32;

/**
 * Makes an ed25519 key pair.
 *
 * Without KeyObjects: in Node 20.20 one from generateKeyPairSync() shares a lock with the job that has made it. To export
 * the key takes the lock, and to collect the job takes it too; where the one brings about the other the thread waits for
 * itself for ever, which befalls one pair in some thousands. The other keys of Hamlet are made in this way for the same
 * reason.
 */
export function makeEd25519Pair(): Ed25519Pair {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519', {
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
  });
  // What a JWK has of a key (RFC 8037, section 2) is the end of its DER (RFC 8410, section 10).
  const endOf = (der: Buffer): string => der.subarray(-keyBytes).toString('base64url');
  const publicJwk = { kty: 'OKP', crv: 'Ed25519', x: endOf(publicKey) };
  return { publicJwk, privateJwk: { ...publicJwk, d: endOf(privateKey) }, privateDer: privateKey };
}
