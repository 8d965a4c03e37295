import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import t from 'tap';
import { portHolder, untilListening } from '../../../src/platform/port-holder.js';

void t.test('the holder of a port', async (t) => {
  const server = createServer().listen(0, '::1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  t.match(portHolder(port), { pid: process.pid });
  server.close();
  await once(server, 'close');
  t.equal(portHolder(port), undefined);
});

/** A port on which nobody listens, most likely for a while. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

void t.test('a port is waited for until somebody listens', async (t) => {
  for (const host of ['127.0.0.1', '::1']) {
    const port = await freePort();
    let listens = false;
    const waited = untilListening(port, AbortSignal.timeout(20_000)).then(() => listens);
    const server = createServer();
    t.teardown(() => server.close());
    // Others come and go meanwhile, as many as before in the end.
    for (let i = 0; i < 5; i += 1) await freePort();
    listens = true;
    server.listen(port, host);
    t.equal(await waited, true, host);
    await untilListening(port, AbortSignal.timeout(20_000));
  }
});

void t.test('nobody waits longer than they want to', async (t) => {
  const stop = new AbortController();
  const waited = untilListening(await freePort(), stop.signal);
  stop.abort(new Error('enough'));
  await t.rejects(waited, { message: 'enough' });
});
