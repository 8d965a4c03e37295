import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ConditionBoard } from '../../../src/host/conditions.js';
import { waitForMachine } from '../../../src/host/wait-for-machine.js';
import { parseConfig } from '../../../src/platform/config.js';
import { never, waitFor } from './children-fixture.js';

const fixture = fileURLToPath(new URL('./fixtures/wait-for-machine.js', import.meta.url));
const board = () => new ConditionBoard(['IPAssigned', 'DataAvailable'], 0);
const unable =
  process.geteuid?.() !== 0
    ? 'a network namespace needs root'
    : ['/usr/bin/unshare', '/usr/bin/nsenter'].every((file) => existsSync(file))
      ? false
      : 'unshare and nsenter are missing';

void t.test('an address from the configuration is not waited for', async (t) => {
  const config = parseConfig({ paths: { state: t.testdir() }, node: { address: '192.0.2.9' } }, 'test');
  const conditions = board();
  t.match(await waitForMachine(config, conditions, never), { address: '192.0.2.9' });
  t.match(conditions.get('IPAssigned'), { status: 'true', message: "the node's address is 192.0.2.9" });
  t.match(conditions.get('DataAvailable'), {
    status: 'true',
    message: `the state lies in ${config.paths.state}`,
  });
});

void t.test('a state folder that is not there ends the start', async (t) => {
  const config = parseConfig({ paths: { state: path.join(t.testdir(), 'missing') } }, 'test');
  const conditions = board();
  await t.rejects(waitForMachine(config, conditions, never), {
    code: 'FAILED_PRECONDITION',
    message: `the state folder ${config.paths.state} cannot be written`,
    cause: { code: 'ENOENT' },
  });
  t.match(conditions.get('DataAvailable'), { status: 'unknown' });
});

void t.test('a machine that has no address yet is waited for', { skip: unable }, async (t) => {
  const child = spawn('/usr/bin/unshare', ['-n', process.execPath, fixture, t.testdir()], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  await waitFor('the wait', () => output.includes('IPAssigned false NoAddress') || undefined);
  t.ok(output.includes('DataAvailable true'));
  const ip = (...args: readonly string[]) =>
    execFileSync('/usr/bin/nsenter', ['-t', String(child.pid), '-n', 'ip', ...args]);
  // The bridge of the node's own pods is there first, and has an address.
  ip('link', 'add', 'hamlet0', 'type', 'veth', 'peer', 'name', 'peer0');
  ip('address', 'add', '10.244.0.1/24', 'dev', 'hamlet0');
  ip('link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'peer1');
  ip('address', 'add', '192.0.2.9/24', 'dev', 'lan0');
  for (const name of ['hamlet0', 'peer0', 'lan0', 'peer1']) ip('link', 'set', name, 'up');
  await waitFor('the address', () => output.includes('found') || undefined);
  t.match(
    output,
    /IPAssigned true \nfound 192\.0\.2\.9 without a default route\n$|found 192\.0\.2\.9 without/,
  );
});
