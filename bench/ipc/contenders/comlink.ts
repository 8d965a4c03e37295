/* eslint @typescript-eslint/no-unsafe-assignment: off, @typescript-eslint/no-unsafe-call: off,
   @typescript-eslint/no-unsafe-member-access: off, @typescript-eslint/no-unsafe-return: off,
   @typescript-eslint/no-unsafe-argument: off -- comlink's types are made of the DOM's, which are not here */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import * as Comlink from 'comlink';
import type { Contender, Message } from '../contender.js';
import { blobOf } from './service.js';

const api = {
  echo: (message: Message) => message,
  blob: (bytes: number) => blobOf(bytes),
};

/** What comlink's own adapter for Node does; that has no types. */
function endpointOf(port: MessagePort): Comlink.Endpoint {
  const listeners = new Map<object, (data: unknown) => void>();
  return {
    postMessage: (message, transfer) => port.postMessage(message, transfer as never),
    addEventListener: (_, listener) => {
      const handle = typeof listener === 'function' ? listener : listener.handleEvent.bind(listener);
      const onMessage = (data: unknown) => handle({ data });
      port.on('message', onMessage);
      listeners.set(listener, onMessage);
    },
    removeEventListener: (_, listener) => {
      const onMessage = listeners.get(listener);
      if (onMessage !== undefined) port.off('message', onMessage);
      listeners.delete(listener);
    },
    start: () => port.start(),
  };
}

/** Two threads with a channel between them, which comlink makes an object of. */
export const contender: Contender = {
  host: async (spawn) => {
    const { port1, port2 } = new MessageChannel();
    const server = await spawn('server', port1, [port1]);
    const caller = await spawn('caller', port2, [port2]);
    return {
      caller,
      stop: async () => {
        await Promise.all([server.stop(), caller.stop()]);
      },
    };
  },
  serve: async (port) => Comlink.expose(api, endpointOf(port as MessagePort)),
  call: async (port) => {
    const remote = Comlink.wrap<typeof api>(endpointOf(port as MessagePort));
    return { echo: (message) => remote.echo(message), blob: (bytes) => remote.blob(bytes) };
  },
};
