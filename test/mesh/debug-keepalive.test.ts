import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { spawn } from 'node:child_process';
import t from 'tap';
import { logs } from '../../src/ipc/services/logs.js';
import { dbgFile, environment } from '../unit/cli/fixture.js';
import { DebugNode } from './debug-fixture.js';

t.setTimeout(150_000);

void t.test('a connection whose other end has gone without a word ends on both sides', async (t) => {
  const node = await DebugNode.start();
  t.teardown(() => node[Symbol.asyncDispose]());
  await node.thread.ready;
  let ended: Promise<unknown> = Promise.resolve();
  await node.serve('logs', logs, {
    async *follow(_request, { signal }) {
      ended = once(signal, 'abort');
      yield { records: [], positions: [{ component: 'etcd', next: 1 }] };
      await ended;
    },
  });
  // A way between the two that takes nothing more from either, and tells neither.
  const ways: Socket[] = [];
  const way = createServer((socket) => {
    const onward = connect(node.port, '127.0.0.1');
    ways.push(socket, onward);
    socket
      .on('error', () => undefined)
      .pipe(onward.on('error', () => undefined))
      .pipe(socket);
  });
  t.teardown(() => {
    for (const socket of ways) socket.destroy();
    way.close();
  });
  await once(way.listen(0, '127.0.0.1'), 'listening');
  const endpoint = `127.0.0.1:${(way.address() as AddressInfo).port}`;
  const child = spawn(process.execPath, [dbgFile, 'logs', '-f', 'etcd'], { env: environment({ endpoint }) });
  t.teardown(() => child.kill());
  let stderr = '';
  const noted = new Promise<void>((resolve) => {
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
      if (stderr.includes('trying again')) resolve();
    });
    child.once('close', () => resolve());
  });
  const [socket] = (await once(way, 'connection')) as [Socket];
  // Until the first answer has gone by.
  await once(ways[1] ?? socket, 'data');
  await new Promise<void>((resolve) => {
    const look = () => (ways[1] !== undefined && ways[1].bytesRead > 200 ? resolve() : setTimeout(look, 10));
    look();
  });
  for (const one of ways.slice(0, 2)) one.unpipe().pause();
  await Promise.all([noted, ended]);
  t.match(stderr, /trying again/);
});
