import type { Logger } from 'pino';
import type { Client } from '../../ipc/contract.js';
import type { certs, CredentialFile } from '../../ipc/services/certs.js';
import type { Condition, host } from '../../ipc/services/host.js';
import { HamletError, messageOf } from '../../lib/errors.js';
import { sleep } from '../../lib/time.js';
import type { Config } from '../../platform/config.js';
import { untilListening } from '../../platform/port-holder.js';
import { Backoff, type BackoffLimits } from './backoff.js';
import { BoardView } from './board.js';
import type { ApiClient, ClientCredentials } from './client.js';
import { unknownConditions } from './conditions.js';
import { KubeletView } from './kubelet-view.js';
import { ConditionPublisher } from './publisher.js';
import { encryptSecrets } from './secrets.js';
import { runSession } from './session.js';

/** How soon a session that failed is followed by the next. */
const sessions: BackoffLimits = { free: 1, firstMs: 250, maxMs: 30_000, quietMs: 60_000 };

/** Before the stream of renewals is opened again, when the certs worker was away. */
const renewalsRetryMs = 1_000;

/** What the main thread hands to this worker. */
export interface ReconcilerData {
  readonly config: Pick<Config, 'ports'>;
  readonly node: { readonly name: string };
}

export interface ReconcilerOptions extends ReconcilerData {
  readonly host: Pick<Client<typeof host>, 'children' | 'conditions' | 'setConditions'>;
  readonly certs: Pick<Client<typeof certs>, 'credentials' | 'encryption' | 'renewals'>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * The reconciler: one session with the API server after another, each for as long as the board says that it is ready.
 * Ends when the signal is aborted; throws when the stream of conditions breaks.
 */
export async function reconcile(options: ReconcilerOptions): Promise<void> {
  const { signal } = options;
  const board = new BoardView();
  const kubelet = new KubeletView();
  try {
    await Promise.race([
      board.follow(options.host.conditions({}, { signal })),
      kubelet.follow(options.host.children({}, { signal })),
      runSessions(board, kubelet, options),
    ]);
  } catch (error) {
    if (!signal.aborted) throw error;
    return;
  }
  if (!signal.aborted) throw new HamletError('UNAVAILABLE', 'the streams of the main thread have ended');
}

async function runSessions(
  board: BoardView,
  kubelet: KubeletView,
  options: ReconcilerOptions,
): Promise<void> {
  const { config, node, log, signal } = options;
  const server = `https://127.0.0.1:${config.ports.apiserver}`;
  const conditions = new ConditionPublisher(options.host, log, signal);
  const backoff = new Backoff(sessions);
  conditions.set(unknownConditions('APIServerNotReady', 'waiting for the API server'));
  // The client takes a moment to load. With a PKI the API server starts, which takes longer: that is the time for it.
  await board.untilTrue('PKIReady', signal);
  const { ApiClient } = await import('./client.js');
  while (!isAborted(signal)) {
    await board.until('APIServerReady', mayBeAsked, signal);
    try {
      await whileAsked(board, signal, async (ready) => {
        await untilListening(config.ports.apiserver, ready);
        const api = new ApiClient(server, await credentials(options.certs, ready));
        try {
          void followRenewals(api, options, ready);
          await runSession({ api, nodeName: node.name, kubelet, conditions, log, signal: ready });
        } finally {
          api.close();
        }
      });
    } catch (error) {
      signal.throwIfAborted();
      const delayMs = Math.round(backoff.next());
      const reason = messageOf(error);
      log.warn({ reason, delayMs }, `starting over with the API server: ${reason}`);
      await sleep(delayMs, signal);
    }
    conditions.set(unknownConditions('APIServerNotReady', 'waiting for the API server'));
  }
}

/**
 * Whether there is an API server to talk to. One that is starting opens its port seconds before it is ready, and a
 * request that is made meanwhile is answered first of all.
 */
function mayBeAsked({ status, reason }: Pick<Condition, 'status' | 'reason'>): boolean {
  return status === 'true' || reason === 'Starting';
}

/** Runs a session with a signal that is aborted as soon as there is no API server to talk to. */
async function whileAsked(
  board: BoardView,
  signal: AbortSignal,
  session: (ready: AbortSignal) => Promise<void>,
): Promise<void> {
  const ending = new AbortController();
  const ready = AbortSignal.any([signal, ending.signal]);
  const isGone: typeof mayBeAsked = (condition) => !mayBeAsked(condition);
  void board.until('APIServerReady', isGone, ready).then(
    () => ending.abort(),
    () => undefined,
  );
  try {
    await session(ready);
  } catch (error) {
    if (!ready.aborted) throw error;
  } finally {
    ending.abort();
  }
}

function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

/** Gives the client its renewed credentials, and Secrets their new key, for as long as the signal is not aborted. */
async function followRenewals(
  api: ApiClient,
  { certs, log }: Pick<ReconcilerOptions, 'certs' | 'log'>,
  signal: AbortSignal,
): Promise<void> {
  let isEncrypting = false;
  const encrypt = async () => {
    if (isEncrypting) return;
    isEncrypting = true;
    try {
      await encryptSecrets(api, certs, log, signal);
    } catch (error) {
      if (!isAborted(signal)) log.warn({ err: error }, 'Secrets could not be encrypted by the current key');
    } finally {
      isEncrypting = false;
    }
  };
  let latest: number | undefined;
  while (!isAborted(signal)) {
    try {
      for await (const { revision } of certs.renewals({}, { signal })) {
        // The first item is what the client was made with, or all but.
        if (latest !== undefined && revision !== latest) api.renew(await credentials(certs, signal));
        void encrypt();
        latest = revision;
      }
    } catch (error) {
      if (isAborted(signal)) return;
      log.debug({ err: error }, 'the renewals are followed anew');
    }
    await sleep(renewalsRetryMs, signal).catch(() => undefined);
  }
}

/** The master's, in memory only. */
async function credentials(
  service: ReconcilerOptions['certs'],
  signal: AbortSignal,
): Promise<ClientCredentials> {
  const { files } = await service.credentials({ holder: 'master' }, { signal });
  return { ca: text(files, 'ca.crt'), cert: text(files, 'client.crt'), key: text(files, 'client.key') };
}

function text(files: readonly CredentialFile[], name: string): string {
  const file = files.find((candidate) => candidate.name === name);
  if (file === undefined) throw new HamletError('INTERNAL', `the master's credentials lack ${name}`);
  return Buffer.from(file.data).toString('utf8');
}
