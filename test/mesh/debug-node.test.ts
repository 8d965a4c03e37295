import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { BootTimeline } from '../../src/host/boot.js';
import { Children } from '../../src/host/children.js';
import { History } from '../../src/host/history.js';
import { ConditionBoard } from '../../src/host/conditions.js';
import { Pipes } from '../../src/host/pipes.js';
import { Secrets } from '../../src/host/secrets.js';
import { hostHandlers } from '../../src/host/service.js';
import { host } from '../../src/ipc/services/host.js';
import { DebugNode } from './debug-fixture.js';

// A dozen programs one after the other: a busy machine takes a while for that.
t.setTimeout(120_000);

const dbgFile = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const logsWorker = new URL('../../src/workers/logs/main.js', import.meta.url);

/** Runs dbg against the port; gives stdout, stderr and exit code. */
async function dbg(port: number, ...args: string[]): Promise<[string, string, number]> {
  return new Promise((resolve) => {
    const all = [dbgFile, '--endpoint', `127.0.0.1:${port}`, ...args];
    execFile(process.execPath, all, { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      resolve([stdout, stderr, error === null ? 0 : Number(error.code)]);
    });
  });
}

void t.test("dbg on the host's own board and the real logs worker", async (t) => {
  const folder = t.testdir();
  const node = await DebugNode.start();
  const pipes = await Pipes.open({
    dir: path.join(folder, 'pipes'),
    startsFile: path.join(folder, 'starts'),
    runsFile: path.join(folder, 'runs.json'),
    components: ['etcd', 'kube.apiserver'],
    own: ['hamlet'],
  });
  t.teardown(async () => {
    await node[Symbol.asyncDispose]();
    pipes.close();
  });
  const board = new ConditionBoard(['NodeReady', 'etcd'], Date.now());
  const secrets = new Secrets(path.join(folder, 'secrets'));
  const children = new Children({
    file: path.join(folder, 'children.json'),
    secrets,
    outputs: pipes,
  });
  await node.serve(
    'main',
    host,
    hostHandlers({
      children,
      secrets,
      board,
      history: new History(path.join(folder, 'restarts.jsonl')),
      boot: new BootTimeline(board, new AbortController().signal),
      bin: '/bin',
      components: () => undefined,
      verified: async () => {},
    }),
  );
  await node.thread.ready;

  t.match(
    await dbg(node.port, 'logs', 'etcd'),
    ['', /^dbg: waiting for the worker hamlet\.logs: .*\n$/, 1],
    'before there is a logs worker',
  );
  const first = node.startWorker('logs', logsWorker, pipes.workerData());
  await first.ready;

  pipes.adopt('etcd', 1);
  const output = pipes.openOutput('etcd');
  const writer = spawn('seq', ['-f', 'line %g', '5010'], { stdio: ['ignore', output.stdout, output.stderr] });
  output.close();
  await once(writer, 'exit');
  t.ok(await pipes.endRun('etcd'), 'all of it has been read');
  const lines = Array.from({ length: 5_010 }, (_, index) => `line ${index + 1}\n`);
  t.same(
    await dbg(node.port, 'logs', 'etcd'),
    [lines.slice(-5_000).join(''), '', 0],
    'the whole ring, in order',
  );
  t.same(await dbg(node.port, 'logs', '--tail', '3', 'etcd'), [lines.slice(-3).join(''), '', 0]);
  t.same(await dbg(node.port, 'logs', 'kube.apiserver'), ['', '', 0], 'nothing written yet');
  t.match(await dbg(node.port, 'logs', 'nosuch'), ['', /nosuch.*etcd, kube\.apiserver, hamlet\n$/, 1]);
  t.same(await dbg(node.port, 'logs', 'kube'), ['', '', 0], 'all below kube, which have written nothing yet');
  t.match(await dbg(node.port, 'logs', 'kub'), ['', /kub.*etcd, kube\.apiserver, hamlet\n$/, 1]);

  await first.terminate();
  t.match(
    await dbg(node.port, 'logs', 'etcd'),
    ['', /^dbg: waiting for the worker hamlet\.logs: .*\n$/, 1],
    'while the logs worker is dead',
  );
  const second = node.startWorker('logs', logsWorker, pipes.workerData());
  await second.ready;
  t.same(await dbg(node.port, 'logs', '-n1', 'etcd'), ['line 5010\n', '', 0], 'what was logged outlives it');

  t.match(await dbg(node.port, 'condition', 'etcd'), [/^etcd is unknown, for [\dm]+s: NotReported: /, '', 1]);
  board.set({ name: 'etcd', status: 'true', reason: '', message: '' }, Date.now());
  t.match(await dbg(node.port, 'condition', 'etcd'), [/^etcd is true, for [\dm]+s\n$/, '', 0]);
  t.match(await dbg(node.port, 'condition', 'nosuch'), ['', 'there are NodeReady, etcd\n', 1]);
  t.match(await dbg(node.port, 'condition'), [/^NAME .*\nNodeReady +unknown .*\netcd +true .*\n$/, '', 0]);
});
