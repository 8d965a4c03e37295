import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, credentials } from '@grpc/grpc-js';
import { nodeDebugService, type StreamComponentLogsRequest } from '../../src/gen/hamlet/debug/v1/debug.js';
import { Pipes } from '../../src/host/pipes.js';
import { DebugNode, freePort } from '../../test/mesh/debug-fixture.js';
import { path as bareMethod, pass } from './bare-method.js';
import { median } from '../median.js';
import { diskBytes } from './hamlet.js';
import { quantile } from './quantile.js';

/** 1,000 lines a second for so many lines. */
const lines = 3_000;
const periodUs = 1_000;
/** The first lines pay for what is compiled. */
const warmUp = 500;

const local = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

/** How long it takes from a line's write to the follower's hands, p99 in milliseconds: medians of the rounds. */
export async function writeToFollower(rounds: number): Promise<{ hamletMs: number; bareMs: number }> {
  await using node = await Node.start();
  const pacer = path.join(node.folder, 'pacer');
  execFileSync('cc', ['-O2', '-o', pacer, local('../../../bench/logs/pacer.c')]);
  const barePipe = path.join(node.folder, 'bare');
  execFileSync('mkfifo', [barePipe]);
  const bareServer = spawn(process.execPath, [local('./bare-stream.js'), barePipe], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [port] = (await once(bareServer.stdout, 'data')) as [Buffer];
  const bareClient = new Client(`127.0.0.1:${port.toString().trim()}`, credentials.createInsecure());
  const client = new Client(node.endpoint, credentials.createInsecure());
  const { path: method, requestSerialize, responseDeserialize } = nodeDebugService.streamComponentLogs;
  const hamlet: number[] = [];
  const bare: number[] = [];

  const bareCall = bareClient.makeServerStreamRequest(bareMethod, pass, pass, Buffer.alloc(0));
  const hamletCall = client.makeServerStreamRequest(method, requestSerialize, responseDeserialize, request);
  for (const call of [bareCall, hamletCall]) call.on('error', () => undefined);
  for (let round = 0; round < rounds; round += 1) {
    const ofHamlet = latencies((take) => {
      hamletCall.on('data', ({ records }: { records: { data: Uint8Array }[] }) =>
        records.forEach(({ data }) => take(Buffer.from(data).toString())),
      );
      return () => hamletCall.removeAllListeners('data');
    });
    await once(spawn(pacer, [node.pipe, String(lines), String(periodUs)]), 'exit');
    hamlet.push(quantile(await ofHamlet, 0.99));
    const ofBare = latencies((take) => {
      bareCall.on('data', (line: Buffer) => take(line.toString()));
      return () => bareCall.removeAllListeners('data');
    });
    await once(spawn(pacer, [barePipe, String(lines), String(periodUs)]), 'exit');
    bare.push(quantile(await ofBare, 0.99));
  }
  bareClient.close();
  client.close();
  bareServer.kill('SIGKILL');
  return { hamletMs: median(hamlet), bareMs: median(bare) };
}

/** Wall time of `dbg logs etcd` with 5,000 lines, and of the least program that makes the same call, milliseconds. */
export async function lastLines(rounds: number): Promise<{ dbgMs: number; minimalMs: number }> {
  await using node = await Node.start();
  await node.fill();
  const dbg = [local('../../bundle/cli/main.js'), '--endpoint', node.endpoint, 'logs', 'etcd'];
  const minimal = [local('./minimal-client.js'), node.endpoint];
  const times: Record<'dbg' | 'minimal', number[]> = { dbg: [], minimal: [] };
  for (let round = 0; round <= 2 * rounds; round += 1) {
    for (const [name, argv] of [
      ['dbg', dbg],
      ['minimal', minimal],
    ] as const) {
      const start = performance.now();
      const child = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'inherit'] });
      const [code] = (await once(child, 'exit')) as [number];
      if (code !== 0) throw new Error(`${name} has failed`);
      // The first round fills the caches.
      if (round > 0) times[name].push(performance.now() - start);
    }
  }
  return { dbgMs: median(times.dbg), minimalMs: median(times.minimal) };
}

const request: StreamComponentLogsRequest = {
  components: ['etcd'],
  follow: true,
  tailLines: -1,
  positions: [],
  ends: [],
  sinceMs: 0,
  untilMs: 0,
  minSeverity: '',
  text: '',
  pattern: '',
  run: 0,
  previous: false,
  events: false,
};

/** The latencies of all lines but the first ones, when they have come. */
function latencies(listen: (take: (line: string) => void) => () => void): Promise<number[]> {
  return new Promise((resolve) => {
    const found: number[] = [];
    const stop = listen((line) => {
      const now = process.hrtime.bigint();
      const [number = '', written = ''] = line.split(' ');
      if (Number(number) >= warmUp) found.push(Number(now - BigInt(written)) / 1e6);
      if (Number(number) < lines - 1) return;
      stop();
      resolve(found);
    });
  });
}

/** A debug worker and a logs worker on a mesh, with the log of one component. */
class Node {
  readonly folder: string;
  readonly endpoint: string;
  readonly #debug: DebugNode;
  readonly #pipes: Pipes;

  private constructor(folder: string, port: number, debug: DebugNode, pipes: Pipes) {
    this.folder = folder;
    this.endpoint = `127.0.0.1:${port}`;
    this.#debug = debug;
    this.#pipes = pipes;
  }

  static async start(): Promise<Node> {
    const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-bench-clients-'));
    const pipes = await Pipes.open({
      dir: path.join(folder, 'pipes'),
      startsFile: path.join(folder, 'starts'),
      runsFile: path.join(folder, 'runs.json'),
      components: ['etcd'],
      own: [],
      segments: { dir: path.join(folder, 'logs'), maxBytes: diskBytes },
    });
    const port = await freePort();
    const debug = await DebugNode.start(port);
    const worker = new URL('../../src/workers/logs/main.js', import.meta.url);
    await Promise.all([debug.startWorker('logs', worker, pipes.workerData()).ready, debug.thread.ready]);
    return new Node(folder, port, debug, pipes);
  }

  get pipe(): string {
    return path.join(this.folder, 'pipes', 'etcd.stderr');
  }

  /** Writes 5,000 lines of 120 bytes. */
  async fill(): Promise<void> {
    this.#pipes.adopt('etcd', 1);
    const output = this.#pipes.openOutput('etcd');
    const script = `yes ${'x'.repeat(119)} | head -n 5000`;
    const child = spawn('sh', ['-c', script], { stdio: ['ignore', output.stdout, output.stderr] });
    output.close();
    await once(child, 'exit');
    await this.#pipes.endRun('etcd');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#debug[Symbol.asyncDispose]();
    this.#pipes.close();
    rmSync(this.folder, { recursive: true });
  }
}
