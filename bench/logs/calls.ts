import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Pipes } from '../../src/host/pipes.js';
import { atUsualPriority, raisePriority } from '../../src/host/priority.js';
import { startThread } from '../../src/host/threads.js';
import { client } from '../../src/ipc/client.js';
import { host } from '../../src/ipc/services/host.js';
import { logs } from '../../src/ipc/services/logs.js';
import { Mesh } from '../../test/mesh/fixtures/mesh.js';
import { main, probe } from '../../test/mesh/fixtures/services.js';
import { median } from '../median.js';
import { diskBytes } from './hamlet.js';
import { quantile } from './quantile.js';

const calls = 4_000;

/** p99 of small calls to one worker while another reads a flood of logs, and without: medians of the rounds. */
export async function callsBesideFlood(rounds: number): Promise<{ quietMs: number; floodedMs: number }> {
  // As a node does before it starts its threads.
  const putBack = await raisePriority();
  const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-bench-calls-'));
  const pipes = await Pipes.open({
    dir: path.join(folder, 'pipes'),
    startsFile: path.join(folder, 'starts'),
    runsFile: path.join(folder, 'runs.json'),
    components: ['etcd'],
    own: [],
    segments: { dir: path.join(folder, 'logs'), maxBytes: diskBytes },
  });
  const endpoints = [
    { name: 'main', serves: [main, host], calls: [probe, logs] },
    { name: 'probe', serves: [probe], calls: [main] },
    { name: 'logs', serves: [logs], calls: [host] },
  ];
  await using mesh = await Mesh.start({ endpoints });
  const reader = startThread({
    name: 'logs',
    url: new URL('../../src/workers/logs/main.js', import.meta.url),
    mesh: { path: mesh.router.path, secret: mesh.router.admit('logs') },
    data: pipes.workerData(),
    log: { level: 'silent' },
    givesWay: true,
  });
  await Promise.all([reader.ready, mesh.probe().ready]);
  const call = client(await mesh.connect('main'), probe);
  const p99 = async (): Promise<number> => {
    const times: number[] = [];
    for (let i = 0; i < calls; i += 1) {
      const start = performance.now();
      await call.echo({ text: 'hello' });
      times.push(performance.now() - start);
    }
    return quantile(times, 0.99);
  };
  const quiet: number[] = [];
  const flooded: number[] = [];
  await p99();
  for (let round = 0; round < rounds; round += 1) {
    quiet.push(await p99());
    pipes.adopt('etcd', round + 1);
    const output = pipes.openOutput('etcd');
    const flood = atUsualPriority(() =>
      spawn('yes', ['x'.repeat(119)], { stdio: ['ignore', output.stdout, output.stderr] }),
    );
    output.close();
    await once(flood, 'spawn');
    flooded.push(await p99());
    const exit = once(flood, 'exit');
    flood.kill('SIGKILL');
    await exit;
    await pipes.endRun('etcd');
  }
  putBack();
  await reader.terminate();
  pipes.close();
  rmSync(folder, { recursive: true });
  return { quietMs: median(quiet), floodedMs: median(flooded) };
}
