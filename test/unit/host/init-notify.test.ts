import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { ConditionBoard } from '../../../src/host/conditions.js';
import { mainProcessChange, notifyInit } from '../../../src/host/init-notify.js';
import { allConditionNames } from '../../../src/lib/names.js';
import { waitFor } from './children-fixture.js';

/** Node.js cannot receive datagrams on a Unix socket either. */
const receiver = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('listens', flush=True)
while True: print(s.recv(4096).decode().replace(chr(10), ' '), flush=True)
`;
const hasPrograms = ['systemd-notify', 'python3'].every(
  (name) => spawnSync(name, ['--version']).status === 0,
);
const skip = hasPrograms ? false : 'needs systemd-notify and python3';

/** Takes systemd's place. */
async function listen(t: Test) {
  // A socket's path has 107 characters at most.
  const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const socket = path.join(folder, 'notify');
  const python = spawn('python3', ['-c', receiver, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => python.kill('SIGKILL'));
  let heard = '';
  python.stdout.setEncoding('utf8').on('data', (chunk: string) => (heard += chunk));
  const hears = (text: string) => waitFor(`${text} in:\n${heard}`, () => heard.includes(text) || undefined);
  await hears('listens');
  return { socket, hears, heard: () => heard };
}

void t.test(
  'systemd hears when the node is ready, what it waits for, and that it lives',
  { skip },
  async (t) => {
    const { socket, hears, heard } = await listen(t);
    const board = new ConditionBoard(allConditionNames, 0);
    const stop = new AbortController();
    const set = (name: string, status: 'true' | 'false', reason: string) =>
      board.set({ name, status, reason, message: '' }, 0);
    set('kube.apiserver', 'false', 'Starting');
    notifyInit({
      board,
      stop: stop.signal,
      over: stop.signal,
      env: { ...process.env, NOTIFY_SOCKET: socket, WATCHDOG_USEC: '400000' },
      onError: (error) => t.fail(String(error)),
    });
    await hears('STATUS=waits for kube.apiserver');
    t.notMatch(heard(), /READY=1/);
    set('kube.apiserver', 'true', '');
    set('NodeReady', 'true', '');
    await hears('READY=1');
    await hears('STATUS=the node is ready');
    const pings = () => heard().match(/WATCHDOG=1/g)?.length ?? 0;
    const before = pings();
    await waitFor('the watchdog', () => pings() >= before + 2 || undefined);
    await mainProcessChange({ ...process.env, NOTIFY_SOCKET: socket })?.(4711);
    await hears('MAINPID=4711');
    stop.abort();
    await hears('STOPPING=1');
  },
);

void t.test('under another init nothing is said', (t) => {
  const board = new ConditionBoard(allConditionNames, 0);
  const over = new AbortController().signal;
  const env = { NOTIFY_SOCKET: '' };
  notifyInit({ board, stop: over, over, env, onError: (error) => t.fail(String(error)) });
  t.equal(mainProcessChange(env), undefined);
  t.end();
});

void t.test('failures in a row are told of once, and what comes after them is sent', { skip }, async (t) => {
  const { socket, hears } = await listen(t);
  const board = new ConditionBoard(allConditionNames, 0);
  const over = new AbortController();
  t.teardown(() => over.abort());
  const errors: unknown[] = [];
  // No program is found there.
  const env: NodeJS.ProcessEnv = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '40000', PATH: '/nowhere' };
  await t.rejects(async () => mainProcessChange(env)?.(1));
  const onError = (error: unknown) => errors.push(error);
  notifyInit({ board, stop: over.signal, over: over.signal, env, onError });
  await waitFor('a failure', () => errors.length > 0 || undefined);
  env.PATH = process.env.PATH;
  await hears('WATCHDOG=1');
  t.equal(errors.length, 1);
});
