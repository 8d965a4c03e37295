import { createServer, type AddressInfo } from 'node:net';
import moleculer from 'moleculer';
import type { Contender, Message } from '../contender.js';
import { blobOf } from './service.js';

interface Ports {
  readonly server: number;
  readonly caller: number;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function broker(nodeID: keyof Ports, ports: Ports): moleculer.ServiceBroker {
  const urls = Object.entries(ports).map(([name, port]) => `127.0.0.1:${port}/${name}`);
  return new moleculer.ServiceBroker({
    nodeID,
    logger: false,
    metrics: false,
    transporter: {
      type: 'TCP',
      options: { udpDiscovery: false, port: ports[nodeID], urls, gossipPeriod: 1 },
    },
  });
}

/** Two moleculer nodes that talk over TCP, as they would on two machines. */
export const contender: Contender = {
  host: async (spawn) => {
    const ports: Ports = { server: await freePort(), caller: await freePort() };
    const server = await spawn('server', ports);
    const caller = await spawn('caller', ports);
    return {
      caller,
      stop: async () => {
        await Promise.all([server.stop(), caller.stop()]);
      },
    };
  },
  serve: async (ports) => {
    const node = broker('server', ports as Ports);
    node.createService({
      name: 'bench',
      actions: {
        echo: ({ params }: { params: Message }) => params,
        // Its serializer is JSON: the shortest form for bytes is a string.
        blob: ({ params }: { params: { bytes: number } }) =>
          Buffer.from(blobOf(params.bytes).buffer).toString('base64'),
      },
    });
    await node.start();
  },
  call: async (ports) => {
    const node = broker('caller', ports as Ports);
    await node.start();
    await node.waitForServices('bench', 20_000);
    return {
      echo: (message) => node.call('bench.echo', message),
      blob: async (bytes) => Buffer.from(await node.call<string, object>('bench.blob', { bytes }), 'base64'),
    };
  },
};
