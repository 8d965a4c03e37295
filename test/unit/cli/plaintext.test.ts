import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import t from 'tap';
import { plaintextTarget } from '../../../src/cli/plaintext.js';
import { listenAs } from './fixture.js';

t.setTimeout(120_000);

const nobody = 65_534;
const hasIpv6 = existsSync('/proc/net/if_inet6');

void t.test('one’s own listener is found by any of its addresses', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  t.equal(await plaintextTarget(`127.0.0.1:${port}`), `127.0.0.1:${port}`);
  t.equal(await plaintextTarget(`localhost:${port}`), `127.0.0.1:${port}`);
  t.equal(await plaintextTarget(`127.0.0.2:${port}`), undefined, 'another address');
  t.equal(await plaintextTarget(`192.0.2.7:${port}`), undefined, 'another machine');
  await t.rejects(plaintextTarget('nosuch.invalid:1'), { code: 'UNAVAILABLE' });
});

void t.test(
  'another user’s listener is refused by whatever address it is reached',
  { skip: process.geteuid?.() !== 0 && 'it takes another user’s place' },
  async (t) => {
    for (const [where, ...asked] of [
      ['127.0.0.1', '127.0.0.1', 'localhost'],
      ['0.0.0.0', '127.0.0.1', '127.0.0.2'],
      ['127.0.0.2', '127.0.0.2'],
      ['::', '127.0.0.1', '[::1]'],
      ['::1', '[::1]'],
      ['::ffff:127.0.0.1', '127.0.0.1'],
    ] as const) {
      if (where.startsWith(':') && !hasIpv6) continue;
      const { port, child } = await listenAs(nobody, where);
      t.teardown(() => child.kill());
      for (const host of asked) {
        await t.rejects(
          plaintextTarget(`${host}:${port}`),
          { code: 'PERMISSION_DENIED', message: `user ${nobody} listens at ${host}:${port}` },
          `${where} by ${host}`,
        );
      }
      if (where !== '0.0.0.0') continue;
      // More than one can listen on a port, at different addresses: the kernel prefers the very address.
      t.equal(await plaintextTarget(`192.0.2.7:${port}`), undefined);
    }
  },
);
