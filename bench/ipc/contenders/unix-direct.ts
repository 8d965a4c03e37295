import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { encode } from '../../../src/ipc/codec.js';
import { connect, Connection } from '../../../src/ipc/connection.js';
import { FrameType, makeFrame } from '../../../src/ipc/frame.js';
import { PROTOCOL_VERSION, type Welcome } from '../../../src/ipc/handshake.js';
import { serveAll } from '../../../src/ipc/server.js';
import type { Contender } from '../contender.js';
import { callerOf, implementation } from './service.js';

const log = pino({ level: 'warn' });

/** What the router would say to either of two endpoints that have nobody between them. */
const welcome: Welcome = {
  version: PROTOCOL_VERSION,
  address: 1,
  names: ['peer'],
  routes: { bench: 0 },
  callers: { bench: [0] },
};
const hello = () => makeFrame(FrameType.HELLO, 0, 0, 0, 0, encode(welcome));

/** The mesh's own connection, with a socket straight to the other thread instead of the router. */
export const contender: Contender = {
  host: async (spawn) => {
    const folder = await mkdtemp(join(tmpdir(), 'hamlet-bench-'));
    const path = join(folder, 'direct.sock');
    const server = await spawn('server', path);
    const caller = await spawn('caller', path);
    return {
      caller,
      stop: async () => {
        await Promise.all([server.stop(), caller.stop()]);
        await rm(folder, { recursive: true, force: true });
      },
    };
  },

  serve: async (path) => {
    const server = createServer((socket) => {
      // The caller's HELLO stands alone in the first chunk, because it waits for the answer.
      socket.once('data', () => {
        const connection = new Connection(socket, 'server', log);
        socket.on('data', (chunk) => connection.receive(chunk, chunk.length));
        connection.receive(hello(), hello().length);
        serveAll(connection, [implementation]);
        socket.write(hello());
      });
    });
    await new Promise<void>((resolve) => server.listen(path as string, resolve));
  },

  call: async (path) => callerOf(await connect({ path: path as string, name: 'caller', secret: '', log })),
};
