import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { parseConfig, type Config } from '../../../src/platform/config.js';
import { spaceProblem } from '../../../src/platform/disk.js';
import { checkPorts, diskProblems } from '../../../src/platform/preflight.js';

/** Every port of the configuration set to one that is free right now. */
async function configOfFreePorts(): Promise<Config> {
  const config = parseConfig({}, 'test');
  const servers = await Promise.all(
    Object.keys(config.ports).map(async (setting) => {
      const server = createServer().listen(0, '0.0.0.0');
      await once(server, 'listening');
      return { setting, server, port: (server.address() as AddressInfo).port };
    }),
  );
  await Promise.all(servers.map(({ server }) => once(server.close(), 'close')));
  const ports = Object.fromEntries(servers.map(({ setting, port }) => [setting, port]));
  return { ...config, ports: ports as unknown as Config['ports'] };
}

void t.test('free ports are free, and stay so', async (t) => {
  const config = await configOfFreePorts();
  await checkPorts(config);
  await checkPorts(config);
  t.pass();
});

void t.test('each taken port is named with its setting and its holder', async (t) => {
  const config = await configOfFreePorts();
  for (const [setting, host] of [
    ['apiserver', '127.0.0.1'],
    ['debug', '0.0.0.0'],
  ] as const) {
    const server = createServer().listen(config.ports[setting], host);
    t.teardown(() => server.close());
    await once(server, 'listening');
  }
  const line = (setting: 'apiserver' | 'debug') =>
    `port ${config.ports[setting]} is taken by ${process.title === '' ? '.*' : '\\S+'} \\(process ${process.pid}\\); ` +
    `set ports.${setting} in the configuration to another one`;
  const error: unknown = await checkPorts(config).catch((thrown: unknown) => thrown);
  t.match(error, { code: 'FAILED_PRECONDITION' });
  const { message } = error as Error;
  t.equal(message.split('\n').length, 2);
  for (const setting of ['apiserver', 'debug'] as const)
    t.match(message, new RegExp(`^${line(setting)}$`, 'm'));
});

void t.test('without kube-proxy its ports may be taken', async (t) => {
  const config = await configOfFreePorts();
  const server = createServer().listen(config.ports.proxyHealth, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  await t.rejects(checkPorts(config), { message: /set ports\.proxyHealth/ });
  await checkPorts({ ...config, kubeProxy: { ...config.kubeProxy, enabled: false } });
});

void t.test('the port for other machines is looked at where it is wanted', async (t) => {
  const config = await configOfFreePorts();
  const server = createServer().listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const at = (address: string, enabled = true) =>
    checkPorts({ ...config, debug: { ...config.debug, enabled, remote: { address, port } } });
  await t.rejects(at('0.0.0.0'), {
    code: 'FAILED_PRECONDITION',
    message: new RegExp(`^port ${port} is taken by .*; set debug\\.remote\\.port in the configuration`),
  });
  await at('0.0.0.0', false);
  // TEST-NET-1 (RFC 5737): an address that the machine does not have, or not yet.
  await at('192.0.2.1');
});

void t.test('space is measured where the folder will be', async (t) => {
  t.equal(spaceProblem(`${t.testdir()}/not/there/yet`, 1, 'A test'), undefined);
  t.match(
    spaceProblem(t.testdir(), 1e18, 'A test'),
    /^A test needs 1000000000\.0 GB free in .*, and there is [\d.]+ [GM]B$/,
  );
});

void t.test('a node that is there already is not refused for want of room', async (t) => {
  const state = t.testdir();
  const config = parseConfig({ paths: { state } }, 'test');
  t.match(diskProblems(config, 1e18), [/^The state of a node needs .* free in/]);
  mkdirSync(path.join(config.paths.etcd, 'member'), { recursive: true });
  t.same(diskProblems(config, 1e18), []);
});
