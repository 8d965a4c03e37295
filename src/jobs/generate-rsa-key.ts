import { generateKeyPairSync } from 'node:crypto';

/** Makes an RSA key of the given size; gives PKCS #8 DER. 50 to 200 ms of one core for 2048 bits. */
export function generateRsaKey(options: { readonly bits: number }): Uint8Array {
  // Not as KeyObjects: see src/jobs/ed25519-pair.ts.
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: options.bits,
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
  });
  return privateKey;
}
