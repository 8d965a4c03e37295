import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Logger } from 'pino';
import type { Client } from '../../ipc/contract.js';
import type { certs, CredentialFile } from '../../ipc/services/certs.js';
import type { host } from '../../ipc/services/host.js';
import { isHamletError, messageOf } from '../../lib/errors.js';
import { deadline, sleep } from '../../lib/time.js';
import type { Component } from './component.js';

/** A component that is not back by then is the supervisor's business; the next one gets its turn. */
const restartTimeoutMs = 120_000;
/** Before the stream of renewals is opened again. */
const retryMs = 1_000;

export interface RenewalsOptions {
  readonly components: readonly Component[];
  /** Where the files lie that outlive their component. */
  readonly stateFolder: string;
  readonly certs: Pick<Client<typeof certs>, 'credentials' | 'renewals'>;
  readonly host: Pick<Client<typeof host>, 'changedSecrets' | 'replaceSecrets' | 'conditions' | 'signal'>;
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
  for (;;) {
    try {
      for await (const _ of certs.renewals({}, { signal })) {
        for (const component of components) await refresh(component, options);
      }
    } catch (error) {
      if (signal.aborted) return;
      // The certs worker may be away for a moment; what it serves again begins with an item.
      log.debug({ err: error }, `the renewals are followed anew: ${messageOf(error)}`);
    }
    try {
      await sleep(retryMs, signal);
    } catch {
      return;
    }
  }
}

async function refresh(component: Component, options: RenewalsOptions): Promise<void> {
  const { name, credentials, reloads = [] } = component;
  if (credentials === 'none') return;
  const { certs, host, log, signal } = options;
  const { files } = await certs.credentials({ holder: name }, { signal });
  try {
    const changed =
      credentials === 'state' ? changedFiles(options.stateFolder, files) : await changedSecrets();
    if (changed.length === 0) return;
    if (credentials === 'ramfs' && changed.every((file) => reloads.includes(file))) {
      await host.replaceSecrets(
        { name, secrets: files.filter((file) => changed.includes(file.name)) },
        { signal },
      );
      log.info({ component: name, files: changed }, `${name} gets its renewed certificates`);
    } else {
      log.info({ component: name, files: changed }, `${name} is restarted for its renewed certificates`);
      await restart(name, options);
    }
  } catch (error) {
    signal.throwIfAborted();
    // What does not run fetches its credentials when it starts.
    if (isHamletError(error, 'NOT_FOUND')) return;
    log.warn({ err: error, component: name }, `${name} could not be given its renewed certificates`);
  }

  async function changedSecrets(): Promise<readonly string[]> {
    return (await host.changedSecrets({ name, secrets: files }, { signal })).changed;
  }
}

/** Ends a component, which the supervisor then starts with what it gets now, and waits until it is healthy again. */
async function restart(name: string, { host, signal }: RenewalsOptions): Promise<void> {
  using limit = deadline(restartTimeoutMs, signal);
  let ended = false;
  for await (const { conditions, snapshot } of host.conditions({}, { signal: limit.signal })) {
    if (snapshot) {
      await host.signal({ name, signal: 'SIGTERM' }, { signal });
      continue;
    }
    for (const condition of conditions) {
      if (condition.name !== name) continue;
      if (condition.status !== 'true') ended = true;
      else if (ended) return;
    }
  }
}

function changedFiles(folder: string, files: readonly CredentialFile[]): readonly string[] {
  return files.flatMap(({ name, data }) => {
    const file = path.join(folder, name);
    return existsSync(file) && readFileSync(file).equals(data) ? [] : [name];
  });
}
