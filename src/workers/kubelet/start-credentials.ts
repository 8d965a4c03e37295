import path from 'node:path';
import type { Logger } from 'pino';
import type { Client } from '../../ipc/contract.js';
import type { certs, CredentialFile } from '../../ipc/services/certs.js';
import { ensureFolder, writeFileAtomic } from '../../lib/files.js';
import type { Component, Context } from './component.js';
import { keep, type KeptCredentials } from './kept-credentials.js';
import type { WaitingFor } from './waits.js';

export interface StartCredentialsOptions {
  readonly context: Context;
  readonly kept: KeptCredentials;
  readonly certs: Client<typeof certs>;
  readonly log: Logger;
}

/** The credentials that components are started with. */
export class StartCredentials {
  readonly #options: StartCredentialsOptions;

  constructor(options: StartCredentialsOptions) {
    this.#options = options;
  }

  /**
   * Gives what the component gets on its ramfs; what stays on disk is put there at once. `isFirst` says that it has not run
   * since the node was started. Throws what the certs worker throws, and what the file system does.
   */
  async of(
    component: Component,
    isFirst: boolean,
    waitingFor: WaitingFor,
    signal: AbortSignal,
  ): Promise<readonly CredentialFile[]> {
    if (component.credentials === 'none') return [];
    const files =
      this.#ofEarlierStart(component, isFirst) ??
      (await waitingFor('PKIReady', this.#current(component, signal)));
    if (component.credentials === 'ramfs') return files;
    const folder = ensureFolder(this.#options.context.config.paths.kubeletPki, 0o700);
    const { volatile = [] } = component;
    for (const { name: file, data } of files) {
      if (!volatile.includes(file)) writeFileAtomic(path.join(folder, file), data, 0o400);
    }
    return files.filter((file) => volatile.includes(file.name));
  }

  /** Those of an earlier start of the node, for one that does not wait for etcd's. */
  #ofEarlierStart(
    { name, keepsCredentials = false }: Component,
    isFirst: boolean,
  ): readonly CredentialFile[] | undefined {
    return keepsCredentials && isFirst ? this.#options.kept.read(name) : undefined;
  }

  async #current({ name, keepsCredentials = false }: Component, signal: AbortSignal) {
    const { certs, kept, log } = this.#options;
    const { files } = await certs.credentials({ holder: name }, { signal });
    // Before it is started: what it writes with a key must not be all that knows that key after a power cut.
    if (keepsCredentials) keep(kept, name, files, log);
    return files;
  }
}
