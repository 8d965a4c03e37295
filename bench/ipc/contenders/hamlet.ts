import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BroadcastChannel } from 'node:worker_threads';
import { pino } from 'pino';
import { Router } from '../../../src/host/router.js';
import { client } from '../../../src/ipc/client.js';
import { connect } from '../../../src/ipc/connection.js';
import { serveAll } from '../../../src/ipc/server.js';
import { type Contender, makeMessage } from '../contender.js';
import { bench, callerOf, implementation, stuck } from './service.js';

/** The endpoints: the two that are measured; one that never reads, and one that calls it all the same. */
type Name = 'server' | 'caller' | 'stuck' | 'flooder';

interface Data {
  readonly name: Name;
  readonly path: string;
  readonly secret: string;
}

const log = pino({ level: 'warn' });
/** More than the router keeps for one destination. */
const FLOOD_CALLS = 10_000;
/** And this many more every ten milliseconds. */
const FLOOD_STEP = 32;
/** The caller tells the flooder when to begin and to end. */
const floodgate = 'bench-flood';

/** Threads that call each other through the mesh's router. */
export const contender: Contender = {
  host: async (spawn) => {
    const folder = await mkdtemp(join(tmpdir(), 'hamlet-bench-'));
    const router = await Router.listen({
      path: join(folder, 'mesh', 'router.sock'),
      endpoints: [
        { name: 'server', serves: [bench] },
        { name: 'caller', calls: [bench] },
        { name: 'stuck', serves: [stuck] },
        { name: 'flooder', calls: [stuck] },
      ],
      log,
    });
    const dataOf = (name: Name): Data => ({ name, path: router.path, secret: router.admit(name) });
    const server = await spawn('server', dataOf('server'));
    const silent = await spawn('server', dataOf('stuck'));
    const flooder = await spawn('server', dataOf('flooder'));
    const caller = await spawn('caller', dataOf('caller'));
    return {
      caller,
      stop: async () => {
        await Promise.all([server, silent, flooder, caller].map((peer) => peer.stop()));
        await router.close();
        await rm(folder, { recursive: true, force: true });
      },
    };
  },

  serve: async (data) => {
    const { name, path, secret } = data as Data;
    const connection = await connect({ path, secret, name, log });
    if (name === 'server') {
      serveAll(connection, [implementation]);
    } else if (name === 'stuck') {
      // Once it has said that it is ready, this thread reads nothing any more.
      setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0), 100);
    } else {
      const { echo } = client(connection, stuck);
      const channel = new BroadcastChannel(floodgate);
      let stop = new AbortController();
      channel.onmessage = ({ data: begin }: { data: unknown }) => {
        stop.abort();
        if (begin !== true) return;
        stop = new AbortController();
        flood(echo, stop.signal);
      };
    }
  },

  call: async (data) => {
    const { path, secret } = data as Data;
    const channel = new BroadcastChannel(floodgate);
    return {
      ...callerOf(await connect({ path, secret, name: 'caller', log })),
      floodStuck: async (signal) => {
        channel.postMessage(true);
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        channel.postMessage(false);
      },
    };
  },
};

/** Fills the queue of the one that does not read, and goes on calling it. */
function flood(
  echo: (message: ReturnType<typeof makeMessage>, options: object) => Promise<unknown>,
  signal: AbortSignal,
): void {
  const call = () => void echo(makeMessage(0), { signal, deadlineMs: 60_000 }).catch(() => undefined);
  for (let count = 0; count < FLOOD_CALLS; count += 1) call();
  const timer = setInterval(() => {
    for (let count = 0; count < FLOOD_STEP; count += 1) call();
  }, 10);
  signal.addEventListener('abort', () => clearInterval(timer));
}
