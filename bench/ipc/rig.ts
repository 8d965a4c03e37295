/** One contender in a process of its own: `node rig.js CONTENDER`, with jobs and results on the IPC channel. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Contender, Job, Peer, Result, Spawn } from './contender.js';
import type { PeerData } from './peer.js';

const contender = process.argv[2] ?? '';

const spawn: Spawn = async (role, data, transfer = []) => {
  const workerData: PeerData = { contender, role, data };
  const worker = new Worker(new URL('./peer.js', import.meta.url), {
    workerData,
    transferList: [...transfer],
  });
  await once(worker, 'message');
  return {
    request: async (job) => {
      worker.postMessage(job);
      const [result] = (await once(worker, 'message')) as [Result];
      return result;
    },
    stop: async () => {
      await worker.terminate();
    },
  } satisfies Peer;
};

const module = (await import(`./contenders/${contender}.js`)) as { contender: Contender };
const rig = await module.contender.host(spawn);

async function cpuUs(): Promise<number> {
  const { user, system } = process.cpuUsage();
  return user + system + ((await rig.extraCpuUs?.()) ?? 0);
}

async function measure(job: Job): Promise<void> {
  const before = await cpuUs();
  const result = await rig.caller.request(job);
  process.send?.({ ...result, cpuUs: (await cpuUs()) - before });
}

process.on('message', (job: Job | 'stop') => {
  if (job !== 'stop') return void measure(job);
  void rig.stop().then(() => process.kill(process.pid, 'SIGKILL'));
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
