import { Piscina } from 'piscina';
import type { Contender } from '../contender.js';

/** The caller's thread has a pool of one thread, and gives it tasks. */
export const contender: Contender = {
  host: async (spawn) => {
    const caller = await spawn('caller');
    return { caller, stop: () => caller.stop() };
  },
  call: async () => {
    const pool = new Piscina({
      filename: new URL('./piscina-task.js', import.meta.url).href,
      minThreads: 1,
      maxThreads: 1,
      concurrentTasksPerWorker: 256,
    });
    return {
      echo: (message) => pool.run(message, { name: 'echo' }),
      blob: (bytes) => pool.run(bytes, { name: 'blob' }),
    };
  },
};
