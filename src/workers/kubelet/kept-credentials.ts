import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Logger } from 'pino';
import * as v from 'valibot';
import type { CredentialFile } from '../../ipc/services/certs.js';
import { messageOf } from '../../lib/errors.js';
import { writeFileAtomic } from '../../lib/files.js';
import type { ComponentName } from '../../lib/names.js';
import type { Sealer } from '../../platform/sealer.js';

/** Who is started with certificates that end sooner would have to be given others at once, in milliseconds. */
const leastValidMs = 5 * 60_000;

const keptFiles = v.array(v.strictObject({ name: v.string(), data: v.string() }));

export interface KeptCredentialsOptions {
  /** The state folder. */
  readonly folder: string;
  readonly sealer: Sealer;
  /** What is in the certificates' names: with another one the credentials are not those of this node any more. */
  readonly facts: readonly string[];
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
}

/**
 * The credentials that a component has, sealed by the node's key, so that at the next start of the node it need not wait
 * until they have been read from etcd. etcd has the last word all the same: what it holds is compared with what the
 * component got as soon as it can be read (renewals.ts).
 */
export class KeptCredentials {
  readonly #options: KeptCredentialsOptions;
  /** What is on the disk, as far as it is known. */
  readonly #last = new Map<ComponentName, string>();

  constructor(options: KeptCredentialsOptions) {
    this.#options = options;
  }

  /**
   * The files that were kept last. Undefined when there are none, when they are another node's, another address's or
   * damaged, or when one of the certificates is not valid now and for some minutes more.
   */
  read(name: ComponentName): CredentialFile[] | undefined {
    const { sealer, now } = this.#options;
    try {
      const text = sealer.open(this.#seal(name), readFileSync(this.#file(name)));
      const plain = Buffer.from(text).toString('utf8');
      const kept = v.parse(keptFiles, JSON.parse(plain));
      const files = kept.map((file) => ({ name: file.name, data: Buffer.from(file.data, 'base64') }));
      if (files.some((file) => file.name.endsWith('.crt') && !isValid(file.data, now()))) return undefined;
      this.#last.set(name, plain);
      return files;
    } catch {
      return undefined;
    }
  }

  /** Keeps these instead of what was kept before. Throws what the file system throws; then there is what there was. */
  keep(name: ComponentName, files: readonly CredentialFile[]): void {
    const plain = JSON.stringify(
      files.map((file) => ({ name: file.name, data: Buffer.from(file.data).toString('base64') })),
    );
    if (this.#last.get(name) === plain) return;
    const sealed = this.#options.sealer.seal(this.#seal(name), Buffer.from(plain));
    writeFileAtomic(this.#file(name), sealed, 0o400);
    this.#last.set(name, plain);
  }

  #file(name: ComponentName): string {
    return path.join(this.#options.folder, `${name}.credentials`);
  }

  #seal(name: ComponentName): string {
    return JSON.stringify([name, ...this.#options.facts]);
  }
}

/** Keeps them if that can be: without, the next start takes a little longer. */
export function keep(
  kept: KeptCredentials,
  name: ComponentName,
  files: readonly CredentialFile[],
  log: Pick<Logger, 'warn'>,
): void {
  try {
    kept.keep(name, files);
  } catch (error) {
    log.warn(
      { err: error, component: name },
      `the credentials of ${name} were not kept: ${messageOf(error)}`,
    );
  }
}

function isValid(pem: Uint8Array, nowMs: number): boolean {
  const { validFrom, validTo } = new X509Certificate(pem);
  return Date.parse(validFrom) <= nowMs && nowMs + leastValidMs <= Date.parse(validTo);
}
