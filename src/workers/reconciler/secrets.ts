import type { Logger } from 'pino';
import type { Client } from '../../ipc/contract.js';
import type { certs, EncryptionProgress } from '../../ipc/services/certs.js';
import { isHamletError, messageOf } from '../../lib/errors.js';
import { sleep } from '../../lib/time.js';
import type { ApiClient, ObjectList } from './client.js';

/** A page of Secrets, each of which may have 1 MiB. */
const pageObjects = 10;

/** Before each try: the API server may not be ready yet, or look at its keys again within a minute. */
const triesAfterMs = [0, 5_000, 90_000];

type Api = Pick<ApiClient, 'get' | 'replace'>;
type Encryption = Pick<Client<typeof certs>, 'encryption'>;

/**
 * Has every Secret encrypted by the current key, if some may not be. An API server that has yet to learn of the key is
 * left for the next call. Throws what went wrong at the last try, and the signal's reason.
 */
export async function encryptSecrets(
  api: Api,
  service: Encryption,
  log: Pick<Logger, 'debug' | 'info'>,
  signal: AbortSignal,
  waitsMs: readonly number[] = triesAfterMs,
): Promise<void> {
  const progress = async () => (await service.encryption({}, { signal })).progress;
  let problem: Error | undefined;
  for (const waitMs of waitsMs) {
    await sleep(waitMs, signal);
    try {
      if ((await progress()) === 'done') return;
      await rewriteSecrets(api, progress, signal);
      if ((await progress()) === 'done') {
        log.info('every Secret is encrypted by the current key');
        return;
      }
      problem = undefined;
    } catch (error) {
      signal.throwIfAborted();
      log.debug({ err: error }, `Secrets are written again later: ${messageOf(error)}`);
      problem = error instanceof Error ? error : new Error(String(error));
    }
  }
  if (problem !== undefined) throw problem;
}

/**
 * Writes every Secret as it is. What the current key has encrypted is left alone by the API server; anything else is
 * encrypted by that key then. Stops after the first one if the API server has used another key.
 */
async function rewriteSecrets(
  api: Api,
  progress: () => Promise<EncryptionProgress>,
  signal: AbortSignal,
): Promise<void> {
  let isTaken = false;
  let next = '';
  do {
    const query = next === '' ? { limit: pageObjects } : { limit: pageObjects, continue: next };
    const page = await api.get<ObjectList>('/api/v1/secrets', query, signal);
    for (const item of page.items) {
      const { namespace = '', name } = item.metadata;
      const secret = { ...item, apiVersion: 'v1', kind: 'Secret' };
      try {
        await api.replace(`/api/v1/namespaces/${namespace}/secrets/${name}`, secret, signal);
      } catch (error) {
        // Somebody else has written it, or taken it away.
        if (!isHamletError(error, 'ABORTED') && !isHamletError(error, 'NOT_FOUND')) throw error;
      }
      isTaken ||= (await progress()) !== 'waiting';
      if (!isTaken) return;
    }
    next = page.metadata.continue ?? '';
  } while (next !== '');
}
