import { nodeDebugService } from '../../gen/hamlet/debug/v1/debug.js';
import { client } from '../../ipc/client.js';
import { certs } from '../../ipc/services/certs.js';
import { host } from '../../ipc/services/host.js';
import { logs } from '../../ipc/services/logs.js';
import { runWorker } from '../run.js';
import { listen } from './grpc.js';
import { atOnce, debugHandlers, debugRoles, onNode } from './handlers.js';
import { healthMethods } from './health.js';
import { reflectionMethods } from './reflection.js';
import type { RemoteOptions } from './remote.js';
import type { RemoteSources } from './serve-remote.js';

/** How long an open debug call may go on when the node stops. */
const stopPatienceMs = 500;

export interface DebugData {
  /** The Unix socket. */
  readonly socket: string;
  readonly address: string;
  readonly port: number;
  /** Where clients with a certificate are let in from other machines. */
  readonly remote?: RemoteOptions | undefined;
}

void runWorker<DebugData>('debug', async ({ connection, data, signal, log }) => {
  const certsClient = client(connection, certs);
  const hostClient = client(connection, host);
  const handlers = debugHandlers(
    { certs: certsClient, logs: client(connection, logs), host: hostClient },
    { remote: data.remote !== undefined },
  );
  const also = [...healthMethods(hostClient), ...reflectionMethods()];
  const terms = { roles: debugRoles, onNode, atOnce };
  const server = await listen(nodeDebugService, handlers, { ...data, ...terms, also, log });
  const remote =
    data.remote &&
    openToOthers(data.remote, {
      ...{ door: server, certs: certsClient, host: hostClient, log, signal },
    });
  return {
    async stop() {
      await Promise.all([remote, server.close(stopPatienceMs)]);
    },
  };
});

/** Loaded only where it is wanted: this thread's first answer is what a start is measured by. */
async function openToOthers(where: RemoteOptions, sources: RemoteSources): Promise<void> {
  const { serveRemote } = await import('./serve-remote.js');
  await serveRemote(where, sources, stopPatienceMs);
}
