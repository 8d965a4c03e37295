import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { connect } from 'node:tls';
import type { Logger } from 'pino';
import type { Client } from '../../ipc/contract.js';
import type { certs, CredentialFile } from '../../ipc/services/certs.js';
import type { host } from '../../ipc/services/host.js';
import { HamletError, isHamletError, messageOf } from '../../lib/errors.js';
import { writeFileAtomic } from '../../lib/files.js';
import { deadline, sleep } from '../../lib/time.js';
import type { Component } from './component.js';
import { keep, type KeptCredentials } from './kept-credentials.js';

/** A component that is not back by then is the supervisor's business; the next one gets its turn. */
const restartTimeoutMs = 120_000;
/** Before the stream of renewals is opened again, the first time and at most. */
const retryMs = 1_000;
const maxRetryMs = 60_000;
/** Components that read their certificate again look at it once a minute at least. */
const rereadTimeoutMs = 70_000;

export interface RenewalsOptions {
  readonly components: readonly Component[];
  /** Where the files lie that outlive their component. */
  readonly stateFolder: string;
  readonly kept: KeptCredentials;
  /** Whether a component runs and has yet to become ready. */
  readonly isStarting: (name: string) => boolean;
  /** Has the supervisor end a component and start it again. */
  readonly restart: (name: string) => void;
  readonly certs: Pick<Client<typeof certs>, 'credentials' | 'delivered' | 'renewals'>;
  readonly host: Pick<Client<typeof host>, 'changedSecrets' | 'replaceSecrets' | 'conditions'>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Brings renewed certificates to the components that run, until the signal is aborted. What a component reads again
 * by itself is replaced under it; for anything else it is restarted, one component at a time. What has to be done
 * follows from the files alone, so whoever is interrupted goes on where it was.
 */
export async function followRenewals(options: RenewalsOptions): Promise<void> {
  const { certs, components, log, signal } = options;
  const backoff = new Backoff();
  for (;;) {
    try {
      for await (const { revision, ...urgency } of certs.renewals({}, { signal })) {
        const lacking: string[] = [];
        for (const component of components) {
          if (!(await refresh(component, urgency, options))) lacking.push(component.name);
        }
        if (lacking.length > 0) {
          throw new HamletError('UNAVAILABLE', `renewed certificates have not reached ${lacking.join(', ')}`);
        }
        await certs.delivered({ revision }, { signal });
        backoff.reset();
      }
    } catch (error) {
      if (signal.aborted) return;
      // The certs worker may be away for a moment, or a component has yet to be served; the first item comes at once.
      log.debug({ err: error }, `the renewals are followed anew: ${messageOf(error)}`);
    }
    try {
      await sleep(backoff.next(), signal);
    } catch {
      return;
    }
  }
}

/**
 * Gives whether a component that runs has what it should have by now; one that has not must not keep it from those
 * that come after it. Throws when the certs worker does not answer.
 */
async function refresh(component: Component, urgency: Urgency, options: RenewalsOptions): Promise<boolean> {
  const { name, credentials, reloads = [], keepsCredentials = false } = component;
  if (credentials === 'none') return true;
  const { certs, kept, log, signal } = options;
  const { files } = await certs.credentials({ holder: name }, { signal });
  if (keepsCredentials) keep(kept, name, files, log);
  try {
    const changed = (await changedFiles(component, files, options)).filter(
      (file) => !canWait(component, file, urgency),
    );
    if (changed.length === 0) return true;
    const wanted = files.filter((file) => changed.includes(file.name));
    // What is not ready may be so for want of these, and it may be a minute until it reads them again.
    const canReload = changed.every((file) => reloads.includes(file)) && !options.isStarting(name);
    if (canReload) {
      await replace(component, wanted, options);
      log.info({ component: name, files: changed }, `${name} gets its renewed certificates`);
      if (await serves(component, wanted, signal)) return true;
      log.warn({ component: name }, `${name} does not read its certificate again`);
    }
    log.info({ component: name, files: changed }, `${name} is restarted for its renewed certificates`);
    await restart(name, options);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    // What does not run fetches its credentials when it starts.
    if (isHamletError(error, 'NOT_FOUND')) return true;
    log.warn({ err: error, component: name }, `${name} could not be given its renewed certificates`);
    return false;
  }
}

/** What an item of `renewals` says of files that a component gets with its next start. */
interface Urgency {
  readonly thorough: boolean;
  readonly overdue: boolean;
}

function canWait(
  { trustsAtStart = [], waitsForStart = [] }: Component,
  file: string,
  { thorough, overdue }: Urgency,
): boolean {
  return (trustsAtStart.includes(file) && !thorough) || (waitsForStart.includes(file) && !overdue);
}

/** The names of the files that the component has otherwise. Throws NOT_FOUND when it does not run. */
async function changedFiles(
  { name, credentials, volatile = [] }: Component,
  files: readonly CredentialFile[],
  { host, stateFolder, signal }: RenewalsOptions,
): Promise<readonly string[]> {
  const onDisk = credentials === 'state' ? files.filter((file) => !volatile.includes(file.name)) : [];
  const secrets = files.filter((file) => !onDisk.includes(file));
  const { changed } = await host.changedSecrets({ name, secrets }, { signal });
  return [...changed, ...onDisk.filter((file) => differs(stateFolder, file)).map((file) => file.name)];
}

async function replace(
  { name, credentials, volatile = [] }: Component,
  files: readonly CredentialFile[],
  { host, stateFolder, signal }: RenewalsOptions,
): Promise<void> {
  const onDisk = credentials === 'state' ? files.filter((file) => !volatile.includes(file.name)) : [];
  const secrets = files.filter((file) => !onDisk.includes(file));
  for (const file of onDisk) writeFileAtomic(path.join(stateFolder, file.name), file.data, 0o400);
  if (secrets.length > 0) await host.replaceSecrets({ name, secrets }, { signal });
}

/** Whether the component serves the certificate that it has been given, as far as that can be seen. */
async function serves(
  { serves: place }: Component,
  files: readonly CredentialFile[],
  signal: AbortSignal,
): Promise<boolean> {
  const given = files.find((file) => file.name === place?.file);
  if (place === undefined || given === undefined) return true;
  const { raw } = new X509Certificate(given.data);
  using limit = deadline(rereadTimeoutMs, signal);
  try {
    while (!(await servedCertificate(place.port, limit.signal)).equals(raw)) {
      await sleep(1_000, limit.signal);
    }
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (limit.signal.aborted) return false;
    throw error;
  }
}

/** The certificate, as DER, that a handshake on this port is answered with. */
async function servedCertificate(port: number, signal: AbortSignal): Promise<Buffer> {
  // Whose it is does not matter here: it is compared with the one that is expected.
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  try {
    await once(socket, 'secureConnect', { signal });
    return socket.getPeerCertificate().raw;
  } finally {
    socket.destroy();
  }
}

/** Ends a component, which the supervisor then starts with what it gets now, and waits until it is healthy again. */
async function restart(name: string, { host, restart, signal }: RenewalsOptions): Promise<void> {
  using limit = deadline(restartTimeoutMs, signal);
  let ended = false;
  for await (const { conditions, snapshot } of host.conditions({}, { signal: limit.signal })) {
    if (snapshot) {
      restart(name);
      continue;
    }
    for (const condition of conditions) {
      if (condition.name !== name) continue;
      if (condition.status !== 'true') ended = true;
      else if (ended) return;
    }
  }
}

function differs(folder: string, { name, data }: CredentialFile): boolean {
  const file = path.join(folder, name);
  return !existsSync(file) || !readFileSync(file).equals(data);
}

/** Before the stream of renewals is opened again: longer each time that it was in vain. */
class Backoff {
  #failures = 0;

  next(): number {
    return Math.min(maxRetryMs, retryMs * 2 ** this.#failures++);
  }

  reset(): void {
    this.#failures = 0;
  }
}
