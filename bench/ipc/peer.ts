/** The main file of a rig's thread: a server or a caller of one contender. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Contender, Job, Role } from './contender.js';
import { run } from './load.js';

export interface PeerData {
  readonly contender: string;
  readonly role: Role;
  readonly data: unknown;
}

const { contender, role, data } = workerData as PeerData;
const module = (await import(`./contenders/${contender}.js`)) as { contender: Contender };
if (role === 'server') {
  await module.contender.serve?.(data);
} else {
  const caller = await module.contender.call?.(data);
  if (caller === undefined) throw new Error(`${contender} has no caller`);
  parentPort?.on('message', (job: Job) => {
    void run(caller, job).then((result) => parentPort?.postMessage(result));
  });
}
parentPort?.postMessage('ready');
