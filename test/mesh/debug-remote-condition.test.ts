import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import t from 'tap';
import type { ConditionUpdate } from '../../src/ipc/services/host.js';
import { HamletError } from '../../src/lib/errors.js';
import { poll } from '../../src/lib/time.js';
import { dbg, newPki, startRemote } from './debug-remote-fixture.js';

t.setTimeout(120_000);

const pki = await newPki();

/** What the worker has said of the listener for other machines. */
class Said {
  readonly all: ConditionUpdate[] = [];
  readonly handlers = {
    setConditions: ({ conditions }: { readonly conditions: readonly ConditionUpdate[] }) => {
      this.all.push(...conditions);
      return {};
    },
  };

  async until(reason: string): Promise<ConditionUpdate> {
    const last = () => (this.all.at(-1)?.reason === reason ? this.all.at(-1) : undefined);
    return poll(last, { everyMs: 20, timeoutMs: 20_000, what: `the reason ${reason}` });
  }
}

void t.test('a port that is taken is told, and when it is free', async (t) => {
  const squatter = createServer().listen(0, '127.0.0.1');
  await once(squatter, 'listening');
  const { port } = squatter.address() as AddressInfo;
  const said = new Said();
  const { admin } = await startRemote(t, pki, said.handlers, port);
  t.match(await said.until('CannotListen'), {
    status: 'false',
    message: `nobody is let in from other machines: port ${port} on 127.0.0.1 is taken`,
  });
  squatter.close();
  t.match(await said.until(''), {
    status: 'true',
    message: new RegExp(
      `^clients with a certificate are let in at 127.0.0.1:${port}; the node's own ends on `,
    ),
  });
  t.match(await dbg(`127.0.0.1:${port}`, ['condition', 'NodeReady'], { pem: admin }), { code: 0 });
  for (const { name } of said.all) t.equal(name, 'RemoteDebugReady');
});

void t.test('so is a certificate that does not come', async (t) => {
  const said = new Said();
  const { port, admin, renew } = await startRemote(t, pki, said.handlers);
  await said.until('');
  renew(new HamletError('FAILED_PRECONDITION', 'there is no key'));
  t.match(await said.until('NotDelivered'), {
    status: 'false',
    message:
      /^the certificate that clients .* see ends on .*, and the next one cannot be had: there is no key$/,
  });
  const answer = await dbg(`127.0.0.1:${port}`, ['condition', 'NodeReady'], { pem: admin });
  t.match(answer, { code: 0 }, 'the one that is there is used meanwhile');
  renew(pki);
  t.match(await said.until(''), { status: 'true' });
});
