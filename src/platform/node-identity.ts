import { createPrivateKey, generateKeyPairSync, hkdfSync, type KeyObject } from 'node:crypto';
import { closeSync, existsSync, fstatSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { HamletError, errnoOf } from '../lib/errors.js';
import { ensureFolder, writeFileAtomic } from '../lib/files.js';
import type { Paths } from './paths.js';

/** Who this node is: an ed25519 key that never leaves the state folder, and the names made of it. */
export interface NodeIdentity {
  readonly privateKey: KeyObject;
  /** The public key as 64 hex digits. */
  readonly id: string;
  /** `hamlet-` and the first 32 digits of the ID: the node's name in Kubernetes. */
  readonly name: string;
}

const fileName = 'node.key';

/** A key is some 120 bytes of PEM; whatever is far longer is another file. */
const maxKeyBytes = 4096;

/**
 * What only a node that had a key has made, and cannot use with another one. Whoever finds it without a key has lost
 * the key.
 */
export function tracesOfKey({ etcd, kubeletPki }: Pick<Paths, 'etcd' | 'kubeletPki'>): readonly string[] {
  return [path.join(etcd, 'member'), path.join(kubeletPki, 'ca.crt')];
}

/**
 * Reads the node's key from the state folder, or makes folder and key when there is none.
 * Throws FAILED_PRECONDITION when the file is there but is not an ed25519 key, when others may read it, or when it is
 * gone while one of the `traces` is there, and PERMISSION_DENIED when it cannot be read: a node that changed its name
 * on its own would come back as a stranger, so a key is never replaced.
 */
export function loadNodeIdentity(stateFolder: string, traces: readonly string[] = []): NodeIdentity {
  const file = path.join(stateFolder, fileName);
  const pem = readKey(file);
  if (pem !== undefined) return identityOf(parseKey(pem, file));
  const trace = traces.find((left) => existsSync(left));
  if (trace !== undefined) {
    throw new HamletError(
      'FAILED_PRECONDITION',
      `the node key ${file} is gone, and ${trace} belongs to the node that had it; put the file back from a backup, ` +
        'or give up that node and its cluster with "hamlet reset" and start a new one',
    );
  }
  ensureFolder(stateFolder, 0o700);
  // Not as KeyObjects: see src/jobs/ed25519-pair.ts.
  const { privateKey } = generateKeyPairSync('ed25519', {
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  writeFileAtomic(file, privateKey, 0o400);
  return identityOf(parseKey(privateKey, file));
}

/**
 * A key of 32 bytes that only this node has, another one for each purpose (HKDF, RFC 5869, of the node key). It cannot
 * be traced back to the node key, so it can be given to whoever needs it.
 */
export function derivedKey(identity: NodeIdentity, purpose: string): Uint8Array {
  // A JWK's "d" is the seed of an ed25519 key (RFC 8037, section 2).
  const { d } = identity.privateKey.export({ format: 'jwk' });
  if (d === undefined) throw new HamletError('INTERNAL', 'an ed25519 key without its private half');
  return new Uint8Array(
    hkdfSync('sha256', Buffer.from(d, 'base64url'), identity.id, `hamlet ${purpose}`, 32),
  );
}

function readKey(file: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw new HamletError('PERMISSION_DENIED', `the node key ${file} cannot be read`, { cause: error });
  }
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw refused(file, 'it is not a file');
    const uid = process.geteuid?.() ?? 0;
    if (stats.uid !== uid) {
      throw new HamletError(
        'FAILED_PRECONDITION',
        `the node key ${file} belongs to the user ${stats.uid}, who may read it; if nobody has copied it, ` +
          `run: chown ${uid} ${file}`,
      );
    }
    if ((stats.mode & 0o077) !== 0) {
      throw new HamletError(
        'FAILED_PRECONDITION',
        `the node key ${file} may be read by others than its owner; if nobody has copied it, run: chmod 0400 ${file}`,
      );
    }
    if (stats.size > maxKeyBytes) throw refused(file, `it has ${stats.size} bytes`);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

function parseKey(pem: string, file: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (error) {
    throw refused(file, pem.length === 0 ? 'it is empty' : 'it is damaged', error);
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw refused(file, `it is of type ${key.asymmetricKeyType ?? '?'}`);
  return key;
}

function refused(file: string, problem: string, cause?: unknown): HamletError {
  return new HamletError(
    'FAILED_PRECONDITION',
    `the node key ${file} is not an ed25519 key in PEM (${problem}); put the file back from a backup, ` +
      'or give up this node and its cluster with "hamlet reset" and start a new one',
    { cause },
  );
}

function identityOf(privateKey: KeyObject): NodeIdentity {
  // A JWK's "x" is the raw public key (RFC 8037, section 2).
  const { x } = privateKey.export({ format: 'jwk' });
  if (x === undefined) throw new HamletError('INTERNAL', 'an ed25519 key without its public half');
  const id = Buffer.from(x, 'base64url').toString('hex');
  return { privateKey, id, name: `hamlet-${id.slice(0, 32)}` };
}
