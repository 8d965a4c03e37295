import type { Logger } from 'pino';
import { client } from '../ipc/client.js';
import type { Connection } from '../ipc/connection.js';
import { kubelet } from '../ipc/services/kubelet.js';
import { messageOf } from '../lib/errors.js';
import { componentNames } from '../lib/names.js';
import type { Children } from './children.js';

/** How long the components may take to stop altogether when nobody asks them in order, in milliseconds. */
const stopTimeoutMs = 120_000;

/**
 * Has the thread that supervises the components stop them, each when nothing needs it any more. Failures are told of;
 * the signal says that there is no use in waiting for that thread.
 */
export async function stopInOrder(connection: Connection, log: Logger, signal: AbortSignal): Promise<void> {
  try {
    tellKilled((await client(connection, kubelet).stop({}, { signal })).killed, log);
  } catch (error) {
    log.error({ err: error }, `the ordered stop failed: ${messageOf(error)}`);
  }
}

/** Ends the components that still run: none, unless nobody was there to be asked. Failures are told of. */
export async function endTheRest(children: Children, log: Logger): Promise<void> {
  try {
    const order = [...componentNames].reverse();
    tellKilled(await children.endAll(order, AbortSignal.timeout(stopTimeoutMs)), log);
  } catch (error) {
    log.error({ err: error }, `not everything could be ended: ${messageOf(error)}`);
  }
}

function tellKilled(killed: readonly string[], log: Logger): void {
  if (killed.length > 0) log.warn({ killed }, `would not stop and were killed: ${killed.join(', ')}`);
}
