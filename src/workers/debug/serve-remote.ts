import type { Client } from '../../ipc/contract.js';
import { isRetryable } from '../../ipc/errors.js';
import type { certs } from '../../ipc/services/certs.js';
import type { host } from '../../ipc/services/host.js';
import { messageOf } from '../../lib/errors.js';
import { sleep } from '../../lib/time.js';
import { RemoteCondition } from './remote-condition.js';
import { RemoteListener, type Door, type RemoteOptions, type TlsCredentials } from './remote.js';

/** Before trying again to get credentials, or to listen. */
const retryMs = 1_000;

export interface RemoteSources {
  readonly door: Door;
  readonly certs: Pick<Client<typeof certs>, 'credentials' | 'renewals'>;
  readonly host: Pick<Client<typeof host>, 'setConditions'>;
  readonly log: {
    info(message: string): void;
    warn(fields: { readonly err: unknown }, message: string): void;
  };
  readonly signal: AbortSignal;
}

/**
 * Listens for clients on other machines as soon as there is a PKI, and until the signal: its address may come later
 * than the node, and its certificate is renewed. Whoever is connected when the signal comes has `patienceMs` to end.
 */
export async function serveRemote(
  where: RemoteOptions,
  { door, certs, host, log, signal }: RemoteSources,
  patienceMs: number,
): Promise<void> {
  const condition = new RemoteCondition({
    where,
    report(update) {
      host.setConditions({ conditions: [update] }, { signal }).catch((error: unknown) => {
        if (!signal.aborted) log.warn({ err: error }, `${update.name} could not be reported`);
      });
    },
  });
  let listener: RemoteListener | undefined;
  let problem = '';
  const isOver = (): boolean => signal.aborted;
  while (!isOver()) {
    try {
      for await (const _ of certs.renewals({}, { signal })) {
        const { files } = await certs.credentials({ holder: 'debug' }, { signal });
        const credentials = credentialsIn(files);
        if (listener === undefined) {
          const opened = new RemoteListener(credentials, door);
          await opened.listen(where);
          listener = opened;
          log.info(`clients with a certificate are let in at ${where.address}:${where.port}`);
        } else {
          listener.renew(credentials);
        }
        condition.serves(credentials);
        problem = '';
      }
    } catch (error) {
      const message = messageOf(error);
      // What is not there yet, or not there again, is what a start and a restart are made of.
      if (!isOver() && message !== problem && !isRetryable(error)) {
        log.warn({ err: error }, `clients on other machines: ${message}; trying again`);
      }
      if (!isOver()) condition.failed(error);
      problem = message;
    }
    await sleep(retryMs, signal).catch(() => undefined);
  }
  await listener?.close(patienceMs);
}

function credentialsIn(
  files: readonly { readonly name: string; readonly data: Uint8Array }[],
): TlsCredentials {
  const text = (name: string) => Buffer.from(files.find((file) => file.name === name)?.data ?? []).toString();
  return { ca: text('ca.crt'), cert: text('tls.crt'), key: text('tls.key') };
}
