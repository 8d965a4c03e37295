import { type MessagePort, MessageChannel } from 'node:worker_threads';
import type { Caller, Contender, Message } from '../contender.js';
import { blobOf } from './service.js';

/** What crosses a port: the least that tells calls apart. */
type Request =
  | { readonly id: number; readonly echo: Message }
  | { readonly id: number; readonly blob: number }
  | { readonly id: number; readonly items: number };
type Answer = { readonly id: number; readonly result: unknown } | { readonly n: number };

/** Posts one by one, or gathers what a tick brings and posts that as an array. */
export type Post = (port: MessagePort) => (message: unknown) => void;

export const plain: Post = (port) => (message) => port.postMessage(message);

export const batched: Post = (port) => {
  let batch: unknown[] = [];
  return (message) => {
    batch.push(message);
    if (batch.length > 1) return;
    setImmediate(() => {
      port.postMessage(batch);
      batch = [];
    });
  };
};

/** Calls `each` for every message, whether they come alone or in batches. */
export function listen(port: MessagePort, each: (message: never) => void): void {
  port.on('message', (message: unknown) => {
    if (Array.isArray(message)) for (const one of message) each(one as never);
    else each(message as never);
  });
}

export function servePort(port: MessagePort, post: Post): void {
  const send = post(port);
  listen(port, (request: Request) => {
    if ('echo' in request) send({ id: request.id, result: request.echo });
    else if ('blob' in request) send({ id: request.id, result: blobOf(request.blob) });
    else for (let n = 0; n < request.items; n += 1) send({ n });
  });
}

export function callPort(port: MessagePort, post: Post): Caller {
  const send = post(port);
  const waiting = new Map<number, (result: unknown) => void>();
  let lastId = 0;
  let onItem: (() => void) | undefined;
  listen(port, (answer: Answer) => {
    if ('n' in answer) return onItem?.();
    waiting.get(answer.id)?.(answer.result);
    waiting.delete(answer.id);
  });
  const call = (request: object) =>
    new Promise<unknown>((resolve) => {
      lastId += 1;
      waiting.set(lastId, resolve);
      send({ id: lastId, ...request });
    });
  return {
    echo: (message) => call({ echo: message }) as Promise<Message>,
    blob: (bytes) => call({ blob: bytes }) as Promise<Uint8Array>,
    items: (count) =>
      new Promise((resolve) => {
        let got = 0;
        onItem = () => {
          got += 1;
          if (got === count) resolve(got);
        };
        send({ id: 0, items: count });
      }),
  };
}

/** Two threads with a channel between them, or with the main thread between two channels. */
export function portContender(route: 'direct' | 'main', post: Post): Contender {
  return {
    host: async (spawn) => {
      const toServer = new MessageChannel();
      const toCaller =
        route === 'direct' ? { port1: toServer.port1, port2: toServer.port1 } : new MessageChannel();
      const server = await spawn('server', toServer.port2, [toServer.port2]);
      const caller = await spawn('caller', toCaller.port2, [toCaller.port2]);
      if (route === 'main') {
        const forward = post(toServer.port1);
        const back = post(toCaller.port1);
        listen(toCaller.port1, (message) => forward(message));
        listen(toServer.port1, (message) => back(message));
      }
      return {
        caller,
        stop: async () => {
          await Promise.all([server.stop(), caller.stop()]);
        },
      };
    },
    serve: async (port) => servePort(port as MessagePort, post),
    call: async (port) => callPort(port as MessagePort, post),
  };
}
