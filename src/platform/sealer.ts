import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { HamletError } from '../lib/errors.js';

/** Makes values unreadable for whoever has a copy of them and not this node. A TPM's would be another one. */
export interface Sealer {
  /** `name` is where the value is kept: a sealed value in another place is refused. */
  seal(name: string, plain: Uint8Array): Uint8Array;
  /** Throws FAILED_PRECONDITION for what this node has not sealed under this name. */
  open(name: string, sealed: Uint8Array): Uint8Array;
}

/** What a sealed value begins with; DER begins with 0x30. The digit is the format's version. */
const magic = Buffer.from('HMLS1');
const algorithm = 'aes-256-gcm';
const keyBytes = 32;
/** NIST SP 800-38D, 8.2.2: random nonces of 96 bits are good for 2^32 values under one key. */
const nonceBytes = 12;
const tagBytes = 16;

/** Whether a value has been sealed, by whatever key. */
export function isSealed(value: Uint8Array): boolean {
  return magic.equals(value.subarray(0, magic.length));
}

/** AES-256-GCM under a key derived from the node's own: magic, nonce, ciphertext, tag. */
export class NodeKeySealer implements Sealer {
  readonly #key: Uint8Array;

  /** `key` has 32 bytes (see derivedKey() in src/platform/node-identity.ts). */
  constructor(key: Uint8Array) {
    if (key.length !== keyBytes)
      throw new HamletError('INVALID_ARGUMENT', `a sealing key has ${keyBytes} bytes`);
    this.#key = key;
  }

  seal(name: string, plain: Uint8Array): Uint8Array {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv(algorithm, this.#key, nonce, { authTagLength: tagBytes });
    cipher.setAAD(Buffer.from(name));
    return Buffer.concat([magic, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  open(name: string, sealed: Uint8Array): Uint8Array {
    try {
      const nonceAt = magic.length;
      const textAt = nonceAt + nonceBytes;
      const tagAt = sealed.length - tagBytes;
      const nonce = sealed.subarray(nonceAt, textAt);
      const decipher = createDecipheriv(algorithm, this.#key, nonce, { authTagLength: tagBytes });
      decipher.setAAD(Buffer.from(name));
      decipher.setAuthTag(sealed.subarray(tagAt));
      return Buffer.concat([decipher.update(sealed.subarray(textAt, tagAt)), decipher.final()]);
    } catch (cause) {
      throw new HamletError(
        'FAILED_PRECONDITION',
        `${name} in etcd cannot be opened with this node's key: it is damaged, or from another node; put back ` +
          'node.key or etcd from a backup, or give up this cluster with "hamlet reset" and start a new one',
        { cause, details: { key: name } },
      );
    }
  }
}
