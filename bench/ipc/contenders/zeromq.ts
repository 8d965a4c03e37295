import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pack, unpack } from 'msgpackr';
import { Dealer, Proxy, Router } from 'zeromq';
import type { Contender, Message } from '../contender.js';
import { blobOf } from './service.js';

interface Paths {
  readonly front: string;
  readonly back: string;
}

type Request = readonly [id: number, echo: Message | undefined, bytes: number];

/** A ROUTER and a DEALER in the main thread with zeromq's own proxy between them, over ipc://. */
export const contender: Contender = {
  host: async (spawn) => {
    const folder = await mkdtemp(join(tmpdir(), 'hamlet-bench-'));
    const paths: Paths = { front: `ipc://${join(folder, 'front')}`, back: `ipc://${join(folder, 'back')}` };
    const front = new Router();
    const back = new Dealer();
    await front.bind(paths.front);
    await back.bind(paths.back);
    const proxy = new Proxy(front, back);
    void proxy.run();
    await spawn('server', paths);
    const caller = await spawn('caller', paths);
    return {
      caller,
      // Its threads must not be ended before the process: it aborts when they are.
      stop: () => rm(folder, { recursive: true, force: true }),
    };
  },

  serve: async (paths) => {
    const socket = new Router();
    socket.connect((paths as Paths).back);
    void (async () => {
      for await (const [proxyId, callerId, body] of socket) {
        if (proxyId === undefined || callerId === undefined || body === undefined) continue;
        const [id, echo, bytes] = unpack(body) as Request;
        const answer = pack([id, echo ?? blobOf(bytes)]);
        // Sends one at a time only; a send that waits has the next one wait for it.
        await socket.send([proxyId, callerId, answer]);
      }
    })();
  },

  call: async (paths) => {
    const socket = new Dealer();
    socket.connect((paths as Paths).front);
    const waiting = new Map<number, (result: unknown) => void>();
    let lastId = 0;
    void (async () => {
      for await (const [body] of socket) {
        if (body === undefined) continue;
        const [id, result] = unpack(body) as [number, unknown];
        waiting.get(id)?.(result);
        waiting.delete(id);
      }
    })();
    let queue: Uint8Array[] = [];
    let sending = false;
    const flush = async () => {
      sending = true;
      while (queue.length > 0) {
        const batch = queue;
        queue = [];
        for (const body of batch) await socket.send(body);
      }
      sending = false;
    };
    const call = (echo: Message | undefined, bytes: number) =>
      new Promise<unknown>((resolve) => {
        lastId += 1;
        waiting.set(lastId, resolve);
        queue.push(pack([lastId, echo, bytes] satisfies Request));
        if (!sending) void flush();
      });
    return {
      echo: (message) => call(message, 0) as Promise<Message>,
      blob: (bytes) => call(undefined, bytes) as Promise<Uint8Array>,
    };
  },
};
