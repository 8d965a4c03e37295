import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { Router } from '../../../src/host/router.js';
import { client } from '../../../src/ipc/client.js';
import { connect } from '../../../src/ipc/connection.js';
import { serveAll } from '../../../src/ipc/server.js';
import { type Contender, makeMessage } from '../contender.js';
import { bench, callerOf, implementation, stuck } from './service.js';

interface Data {
  readonly path: string;
  readonly secret: string;
  /** Of a second endpoint in the caller's thread, which floods the one that does not read. */
  readonly flooderSecret?: string;
  readonly stuck?: boolean;
}

const log = pino({ level: 'warn' });
/** How many calls the flooder keeps open. */
const FLOOD = 512;

/** Threads that call each other through the mesh's router. */
export const contender: Contender = {
  host: async (spawn) => {
    const folder = await mkdtemp(join(tmpdir(), 'hamlet-bench-'));
    const router = await Router.listen({
      path: join(folder, 'mesh.sock'),
      endpoints: [
        { name: 'server', serves: [bench] },
        { name: 'caller', calls: [bench] },
        { name: 'stuck', serves: [stuck] },
        { name: 'flooder', calls: [stuck] },
      ],
      log,
    });
    const { path } = router;
    const server = await spawn('server', { path, secret: router.admit('server') });
    const silent = await spawn('server', { path, secret: router.admit('stuck'), stuck: true });
    const caller = await spawn('caller', {
      path,
      secret: router.admit('caller'),
      flooderSecret: router.admit('flooder'),
    });
    return {
      caller,
      stop: async () => {
        await Promise.all([server.stop(), silent.stop(), caller.stop()]);
        await router.close();
        await rm(folder, { recursive: true, force: true });
      },
    };
  },

  serve: async (data) => {
    const { path, secret, stuck: isStuck } = data as Data;
    const connection = await connect({ path, secret, name: isStuck === true ? 'stuck' : 'server', log });
    if (isStuck !== true) return serveAll(connection, [implementation]);
    // Once it has said that it is ready, this thread reads nothing any more.
    setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0), 100);
  },

  call: async (data) => {
    const { path, secret, flooderSecret = '' } = data as Data;
    const connection = await connect({ path, secret, name: 'caller', log });
    const flooder = await connect({ path, secret: flooderSecret, name: 'flooder', log });
    return {
      ...callerOf(connection),
      floodStuck: async (signal) => {
        const caller = client(flooder, stuck);
        const one = async () => {
          while (!signal.aborted) {
            await caller.echo(makeMessage(0), { signal }).catch(() => delay(1));
          }
        };
        await Promise.all(Array.from({ length: FLOOD }, one));
      },
    };
  },
};
