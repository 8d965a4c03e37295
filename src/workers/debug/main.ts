import { nodeDebugService } from '../../gen/hamlet/debug/v1/debug.js';
import { client } from '../../ipc/client.js';
import { certs } from '../../ipc/services/certs.js';
import { host } from '../../ipc/services/host.js';
import { logs } from '../../ipc/services/logs.js';
import { runWorker } from '../run.js';
import { listen } from './grpc.js';
import { debugHandlers, debugRoles } from './handlers.js';
import { healthMethods } from './health.js';
import { reflectionMethods } from './reflection.js';

/** How long an open debug call may go on when the node stops. */
const stopPatienceMs = 500;

export interface DebugData {
  /** The Unix socket. */
  readonly socket: string;
  readonly address: string;
  readonly port: number;
}

await runWorker<DebugData>('debug', async ({ connection, data, log }) => {
  const hostClient = client(connection, host);
  const handlers = debugHandlers({
    certs: client(connection, certs),
    logs: client(connection, logs),
    host: hostClient,
  });
  const also = [...healthMethods(hostClient), ...reflectionMethods()];
  const server = await listen(nodeDebugService, handlers, { ...data, roles: debugRoles, also, log });
  return { stop: () => server.close(stopPatienceMs) };
});
