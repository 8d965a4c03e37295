import { nodeDebugService } from '../../gen/hamlet/debug/v1/debug.js';
import { client } from '../../ipc/client.js';
import { certs } from '../../ipc/services/certs.js';
import { host } from '../../ipc/services/host.js';
import { logs } from '../../ipc/services/logs.js';
import { runWorker } from '../run.js';
import { listen } from './grpc.js';
import { debugHandlers, debugRoles } from './handlers.js';

/** How long an open debug call may go on when the node stops. */
const stopPatienceMs = 500;

export interface DebugData {
  /** The Unix socket. */
  readonly socket: string;
  readonly address: string;
  readonly port: number;
}

await runWorker<DebugData>('debug', async ({ connection, data, log }) => {
  const handlers = debugHandlers({
    certs: client(connection, certs),
    logs: client(connection, logs),
    host: client(connection, host),
  });
  const server = await listen(nodeDebugService, handlers, { ...data, roles: debugRoles, log });
  return { stop: () => server.close(stopPatienceMs) };
});
