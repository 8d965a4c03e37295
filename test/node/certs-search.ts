import { createPrivateKey } from 'node:crypto';
import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { scanSegment, decodeBlocks } from '../../src/lib/segments/segment.js';

/** Something that must not lie about, and all that would give it away. */
export interface Secret {
  readonly name: string;
  readonly traces: readonly Buffer[];
}

/** Any private key, whoever made it: PEM, PEM in a kubeconfig's base64 wherever it begins, and ed25519 as PKCS #8 DER. */
export const anyPrivateKey: Secret = {
  name: 'a private key',
  traces: [
    Buffer.from('PRIVATE KEY-----\n'),
    ...base64Within(Buffer.from('-----BEGIN PRIVATE KEY-----\n')),
    Buffer.from('302e020100300506032b657004220420', 'hex'),
  ],
};

/** A private key, by its PKCS #8 DER. */
export function privateKey(name: string, der: Buffer): Secret {
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const { d = '', p, q } = key.export({ format: 'jwk' });
  const numbers = [d, p, q].filter((part) => part !== undefined);
  // A text has the DER in lines, of which any whole one will do; the first of an RSA key has public parts only.
  const lines = key.export({ type: 'pkcs8', format: 'pem' }).toString().split('\n').slice(2, -2);
  const text = lines.length > 0 ? lines : [der.toString('base64').slice(0, 64)];
  return {
    name,
    traces: [
      ...numbers.flatMap((part) => forms(Buffer.from(part, 'base64url'))),
      ...text.flatMap((line) => [Buffer.from(line), ...base64Within(Buffer.from(line))]),
    ],
  };
}

/** A key of random bytes. */
export function symmetricKey(name: string, key: Buffer): Secret {
  return { name, traces: [...forms(key), ...base64Within(Buffer.from(key.toString('base64')))] };
}

function forms(bytes: Buffer): Buffer[] {
  const texts = [bytes.toString('base64'), bytes.toString('base64url'), bytes.toString('hex')];
  return [bytes, ...texts.map((text) => Buffer.from(text))];
}

/** What base64 makes of these bytes when others come before and after them. */
function base64Within(bytes: Buffer): Buffer[] {
  return [0, 1, 2].map((start) => {
    const whole = bytes.subarray(start, bytes.length - ((bytes.length - start) % 3));
    return Buffer.from(whole.toString('base64'));
  });
}

/** The regular files below a folder, on its own file system alone, as paths in it. */
export function filesBelow(folder: string): string[] {
  const { dev } = lstatSync(folder);
  const below = (relative: string): string[] =>
    readdirSync(path.join(folder, relative), { withFileTypes: true }).flatMap((entry) => {
      const name = path.join(relative, entry.name);
      // A file that has gone in between is not there.
      if (lstatSync(path.join(folder, name), { throwIfNoEntry: false })?.dev !== dev) return [];
      if (entry.isDirectory()) return below(name);
      return entry.isFile() ? [name] : [];
    });
  return below('');
}

/** Which of the files of a folder hold which secrets: `NAME in FILE`. Segments of logs are unpacked. */
export function search(folder: string, files: readonly string[], secrets: readonly Secret[]): string[] {
  return files.flatMap((name) => {
    const data = contentOf(path.join(folder, name));
    return secrets
      .filter(({ traces }) => traces.some((trace) => data.includes(trace)))
      .map((secret) => `${secret.name} in ${name}`);
  });
}

function contentOf(file: string): Buffer {
  let data: Buffer;
  try {
    data = readFileSync(file);
  } catch {
    return Buffer.alloc(0);
  }
  if (scanSegment(data).entries.length === 0) return data;
  return Buffer.concat([data, ...[...decodeBlocks(data)].map(({ data: lines }) => Buffer.from(lines))]);
}
