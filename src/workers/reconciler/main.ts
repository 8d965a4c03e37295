import { client } from '../../ipc/client.js';
import { certs } from '../../ipc/services/certs.js';
import { host } from '../../ipc/services/host.js';
import { runWorker } from '../run.js';
import { reconcile, type ReconcilerData } from './reconcile.js';

void runWorker<ReconcilerData>('reconciler', ({ connection, data, log, signal }) => {
  const done = reconcile({
    ...data,
    host: client(connection, host),
    certs: client(connection, certs),
    log,
    signal,
  });
  return { stop: () => done };
});
