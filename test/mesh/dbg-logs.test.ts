import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Pipes } from '../../src/host/pipes.js';
import type { Thread } from '../../src/host/threads.js';
import { poll } from '../../src/lib/time.js';
import { dbg, dbgFile, ended, environment, startDbg } from '../unit/cli/fixture.js';
import { DebugNode, freePort } from './debug-fixture.js';

const components = ['etcd', 'kube.proxy', 'kube.kubelet', 'hamlet.kubelet'];
const worker = new URL('../../src/workers/logs/main.js', import.meta.url);

/** A debug worker, a logs worker and real pipes; dies and comes back as Hamlet does. */
class Node {
  readonly folder = mkdtempSync(join(tmpdir(), 'hamlet-dbg-logs-'));
  readonly port: number;
  #parts!: { readonly debug: DebugNode; readonly pipes: Pipes; logs: Thread };

  private constructor(port: number) {
    this.port = port;
  }

  static async start(): Promise<Node> {
    const node = new Node(await freePort());
    await node.revive();
    return node;
  }

  get endpoint(): string {
    return `127.0.0.1:${this.port}`;
  }

  async revive(): Promise<void> {
    const { folder } = this;
    const pipes = await Pipes.open({
      dir: join(folder, 'pipes'),
      startsFile: join(folder, 'starts'),
      runsFile: join(folder, 'runs.json'),
      components,
      own: [],
    });
    const debug = await DebugNode.start(this.port);
    const logs = debug.startWorker('logs', worker, pipes.workerData());
    await Promise.all([logs.ready, debug.thread.ready]);
    this.#parts = { debug, pipes, logs };
  }

  async die(): Promise<void> {
    await this.#parts.debug[Symbol.asyncDispose]();
    this.#parts.pipes.close();
  }

  async restartLogs(): Promise<void> {
    const { debug, pipes, logs } = this.#parts;
    await logs.terminate();
    this.#parts.logs = debug.startWorker('logs', worker, pipes.workerData());
    await this.#parts.logs.ready;
  }

  async write(name: string, run: number, script: string): Promise<void> {
    const { pipes } = this.#parts;
    pipes.adopt(name, run);
    const output = pipes.openOutput(name);
    const child = spawn('sh', ['-c', script], { stdio: ['ignore', output.stdout, output.stderr] });
    output.close();
    await once(child, 'exit');
    await pipes.endRun(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.die();
    rmSync(this.folder, { recursive: true });
  }
}

/** What a program that goes on running has printed. */
function outputOf(child: ChildProcess): { text: string; until(what: string): Promise<void> } {
  const output = {
    text: '',
    until: async (what: string) => {
      const probe = () => (output.text.includes(what) ? true : undefined);
      await poll(probe, { everyMs: 5, timeoutMs: 15_000, what: `${what} in ${output.text}` });
    },
  };
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (data: Buffer) => (output.text += data.toString()));
  }
  return output;
}

void t.test('several logs, filters and formats', async (t) => {
  await using node = await Node.start();
  const { endpoint } = node;
  await node.write('etcd', 1, `echo '{"level":"warn","ts":"2026-11-23T14:00:00.000Z","caller":"a/b.go:3"}'`);
  await node.write(
    'kube.proxy',
    1,
    `echo 'E1123 14:00:00.000000 1 b.go:22] red' >&2; printf '\\377\\033[1m'`,
  );
  await node.write('kube.kubelet', 2, `echo 'I1123 14:00:00.000000 1 a.go:1] fine'`);
  const state = JSON.stringify({
    level: 30,
    time: 1,
    component: 'kube.proxy',
    state: 'healthy',
    msg: 'is well',
  });
  await node.write('hamlet.kubelet', 1, `echo '${state}'`);
  const run = async (...args: string[]) => {
    const { stdout, stderr, code } = await dbg(['logs', ...args], { endpoint });
    return [stdout.toString('latin1'), stderr, code];
  };
  const proxy = 'kube.proxy E1123 14:00:00.000000 1 b.go:22] red\nkube.proxy \xff\x1b[1m\n';
  t.same(await run('kube'), [`${proxy}kube.kubelet I1123 14:00:00.000000 1 a.go:1] fine\n`, '', 0]);
  t.same(await run('--level', 'error', 'kube', 'etcd'), [`${proxy.split('\n')[0]}\n`, '', 0]);
  t.same(await run('--grep', 'fi.e$', 'kube.kubelet'), ['I1123 14:00:00.000000 1 a.go:1] fine\n', '', 0]);
  t.same(await run('--grep', '(?=x)', 'etcd'), [
    '',
    'dbg: the expression cannot be used: Invalid regular expression: /(?=x)/l: Cannot be executed in linear time\n',
    1,
  ]);
  t.same(await run('--run', '1', 'kube.kubelet'), ['', '', 0]);
  t.same(await run('--previous', 'etcd'), ['', 'dbg: no start of etcd before its latest one is known\n', 1]);
  t.same(await run('--run', '9', 'kube'), ['', 'dbg: there was no start number 9 of kube yet\n', 1]);
  t.same(await run('--since', '1h', '--tail', '1', 'kube.proxy'), ['\xff\x1b[1m\n', '', 0]);
  t.same(await run('--events', '--tail', '1', 'kube.proxy'), [`hamlet.kubelet ${state}\n`, '', 0]);
  t.same(await run('--until', '1h', 'etcd', 'kube.proxy'), ['', '', 0]);
  t.match(await run('-o', 'full', '--tail', '1', 'etcd'), [
    /^\d{4}-[^ ]+Z etcd 4294967296 run 1 stdout warn a\/b\.go:3 \| \{"level"/,
    '',
    0,
  ]);
  const [json] = await run('-o', 'json', 'kube.proxy');
  t.match(
    Buffer.from(String(json), 'latin1')
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object),
    [
      {
        kind: 'line',
        component: 'kube.proxy',
        run: 1,
        source: 'stderr',
        severity: 'error',
        place: 'b.go:22',
        monotonicUs: Number,
      },
      { source: 'stdout', line: '\ufffd\x1b[1m', base64: '/xtbMW0=' },
    ],
  );
  t.match(await run('-f', 'nosuch'), ['', /^dbg: there is no log of nosuch; there are etcd, /, 1]);

  const shown = await ended(
    spawn('script', ['-qec', `${process.execPath} ${dbgFile} logs kube`, '/dev/null'], {
      env: { ...environment({ endpoint }), TERM: 'xterm', NO_COLOR: '' },
    }),
  );
  t.equal(
    shown.stdout.toString(),
    '\x1b[31mkube.proxy E1123 14:00:00.000000 1 b.go:22] red\x1b[0m\r\n' +
      'kube.proxy \ufffd\\x1b[1m\r\nkube.kubelet I1123 14:00:00.000000 1 a.go:1] fine\r\n',
  );
});

void t.test('-f goes on after the logs worker and Hamlet were started again', async (t) => {
  await using node = await Node.start();
  const { endpoint } = node;
  const file = join(node.folder, 'position');
  await node.write('etcd', 1, 'seq 1 9');
  const child = startDbg(['logs', '-f', '--resume', file, 'etcd'], { endpoint });
  const exit = once(child, 'exit');
  const output = outputOf(child);
  await output.until('9\n');
  await node.write('etcd', 2, 'seq 10 19');
  await output.until('19\n');
  await node.restartLogs();
  await node.write('etcd', 3, 'seq 20 29');
  await output.until('29\n');
  await node.die();
  await output.until('; trying again');
  await node.revive();
  await node.write('etcd', 4, 'seq 30 39');
  await output.until('39\n');
  t.same(
    output.text.split('\n').filter((line) => /^\d+$/.test(line)),
    Array.from({ length: 39 }, (_, i) => String(i + 1)),
  );
  t.match(
    output.text,
    /29\n[^]*--- lines of etcd may be missing here: Hamlet was killed, or the machine went down ---\n30\n/,
  );
  await poll(() => (/^\{\s+"etcd": \d+\s+\}\s$/.test(readFileSync(file, 'utf8')) ? true : undefined), {
    everyMs: 10,
    timeoutMs: 10_000,
    what: 'the saved position',
  });
  child.kill('SIGTERM');
  t.same(await exit, [143, null]);
  await node.write('etcd', 5, 'seq 40 49');
  const again = await dbg(['logs', '--resume', file, 'etcd'], { endpoint });
  t.same(
    again.stdout.toString().trimEnd().split('\n'),
    Array.from({ length: 10 }, (_, i) => String(40 + i)),
  );
  t.same(
    await dbg(['logs', '--resume', file, 'etcd'], { endpoint }).then(({ stdout }) => stdout.toString()),
    '',
  );
  writeFileSync(file, '[1]');
  const { stderr, code } = await dbg(['logs', '--resume', file, 'etcd'], { endpoint });
  t.match([stderr, code], [/is no saved position/, 1]);
  const nowhere = await dbg(['logs', '--resume', join(node.folder, 'nosuch', 'file'), 'etcd'], { endpoint });
  t.match(
    [nowhere.stdout.length, nowhere.stderr, nowhere.code],
    [0, /^dbg: the position cannot be saved in .*file: ENOENT/, 1],
  );
});

void t.test('a follower that does not read finds a gap, and holds nobody up', async (t) => {
  await using node = await Node.start();
  const { endpoint } = node;
  const child = startDbg(['logs', '-f', '-o', 'json', 'etcd'], { endpoint });
  await node.write('etcd', 1, 'seq 1 3');
  const [first] = (await once(child.stdout, 'data')) as [Buffer];
  child.stdout.pause();
  await node.write('etcd', 2, 'seq 4 40000');
  let text = first.toString();
  child.stdout.on('data', (data: Buffer) => (text += data.toString()));
  child.stdout.resume();
  const isDone = () => (text.slice(-200).includes('"line":"40000"') ? true : undefined);
  await poll(isDone, { everyMs: 5, timeoutMs: 20_000, what: 'the last line' });
  child.kill();
  type Record = { kind: string; from: number; to: number; lines: number; sequence: number; line: string };
  const records = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record);
  let next = records[0]?.sequence ?? 0;
  const start = next;
  for (const { kind, from, to, lines, sequence, line } of records) {
    if (kind === 'gap') {
      t.same([from, to - from], [next, lines]);
      next = to;
    } else {
      if (sequence !== next || line !== String(sequence - start + 1)) t.fail(`${line} is ${sequence}`);
      next = sequence + 1;
    }
  }
  t.equal(next - start, 40_000);
  t.ok(records.some(({ kind }) => kind === 'gap'));
});
