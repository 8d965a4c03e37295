import { implement } from '../../ipc/server.js';
import { logs } from '../../ipc/services/logs.js';
import { JobPool } from '../../jobs/pool.js';
import type { LogMemory } from '../../lib/ring/memory.js';
import { runWorker } from '../run.js';
import { logHandlers } from './handlers.js';
import { LogStore } from './store.js';

void runWorker<LogMemory>('logs', ({ data, log }) => {
  const jobs = new JobPool();
  const store = new LogStore(data, { jobs, log });
  return {
    services: [implement(logs, logHandlers(store))],
    stop: async () => {
      await store.close();
      await jobs[Symbol.asyncDispose]();
    },
  };
});
