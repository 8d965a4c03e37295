import { fileURLToPath } from 'node:url';
import type { Piscina } from 'piscina';
import { HamletError } from '../lib/errors.js';
import type { generateRsaKey } from './generate-rsa-key.js';
import type { issueCertificates } from './issue-certificates.js';
import type { packSegment } from './pack-segment.js';

interface Jobs {
  readonly generateRsaKey: typeof generateRsaKey;
  readonly issueCertificates: typeof issueCertificates;
  readonly packSegment: typeof packSegment;
}

const modules: Readonly<Record<keyof Jobs, string>> = {
  generateRsaKey: fileURLToPath(new URL('./generate-rsa-key.js', import.meta.url)),
  issueCertificates: fileURLToPath(new URL('./issue-certificates.js', import.meta.url)),
  packSegment: fileURLToPath(new URL('./pack-segment.js', import.meta.url)),
};

/** As many as there are long jobs at once: an RSA key and a batch of certificates, or two segments of logs. */
const maxThreads = 2;

/** A thread with the X.509 library holds some 20 MB, and a next job seldom comes: it goes soon. */
const idleTimeoutMs = 10_000;

/**
 * One-shot CPU work on threads of its own (piscina). Nothing is loaded and no thread is started before the first job;
 * the first one on a new thread pays 30 ms, and 90 ms more when it issues certificates.
 */
export class JobPool {
  #piscina: Promise<Piscina> | undefined;

  /**
   * Runs one job; what goes in and comes out is copied. An abort gives the job up at once, its thread ends as soon as
   * native code lets it: an RSA key is finished first.
   * Throws INTERNAL with the job's own error as the cause, or the signal's reason.
   */
  async run<Name extends keyof Jobs>(
    name: Name,
    input: Parameters<Jobs[Name]>[0],
    signal: AbortSignal,
  ): Promise<Awaited<ReturnType<Jobs[Name]>>> {
    signal.throwIfAborted();
    const piscina = await (this.#piscina ??= open());
    try {
      return (await piscina.run(input, { filename: modules[name], name, signal })) as Awaited<
        ReturnType<Jobs[Name]>
      >;
    } catch (error) {
      signal.throwIfAborted();
      throw new HamletError('INTERNAL', `the job ${name} failed`, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#piscina)?.destroy();
  }
}

async function open(): Promise<Piscina> {
  const { Piscina } = await import('piscina');
  return new Piscina({ minThreads: 0, maxThreads, idleTimeout: idleTimeoutMs });
}
