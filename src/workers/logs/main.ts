import { implement } from '../../ipc/server.js';
import { logs } from '../../ipc/services/logs.js';
import type { LogMemory } from '../../lib/ring/memory.js';
import { runWorker } from '../run.js';
import { logHandlers } from './handlers.js';
import { LogStore } from './store.js';

await runWorker<LogMemory>('logs', ({ data }) => {
  const store = new LogStore(data);
  return {
    services: [implement(logs, logHandlers(store))],
    stop: () => store.close(),
  };
});
