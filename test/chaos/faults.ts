import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { errnoOf } from '../../src/lib/errors.js';
import { componentNames, workerNames } from '../../src/lib/names.js';
import { poll, sleep } from '../../src/lib/time.js';
import type { ChaosNode } from './node.js';
import { runInThread } from './inspector.js';

const never = new AbortController().signal;
const inspectorTimeoutMs = 10_000;
/** How long the disk stays full: etcd, the history and the logs all meet it. */
const fullForMs = 3_000;

export interface Fault {
  readonly name: string;
  /** Does the damage; resolves when it is done, not when it is mended. */
  readonly inject: (node: ChaosNode) => Promise<void> | void;
}

/** How a worker thread can die. A loop is noticed by its silence, after ten seconds. */
const deaths = {
  throw: "setTimeout(() => { throw new Error('chaos') })",
  memory: 'setTimeout(() => { const all = []; for (;;) all.push(new Array(1e5).fill(all.length)) })',
  loop: 'setTimeout(() => { for (;;); })',
} as const;

/** Everything that can be done to the node, each under a name of its own. */
export const faults: readonly Fault[] = [
  ...componentNames.flatMap((name) => [
    signal(name, 'SIGKILL'),
    signal(name, 'SIGSTOP'),
    // They all take it for the wish to stop, and exit by themselves.
    signal(name, 'SIGTERM'),
  ]),
  ...workerNames.flatMap((name) => (['throw', 'memory', 'loop'] as const).map((how) => death(name, how))),
  {
    name: 'SIGKILL of hamlet',
    async inject(node) {
      await node.killHamlet();
      node.start();
    },
  },
  { name: 'SIGHUP of hamlet', inject: (node) => void process.kill(node.pid, 'SIGHUP') },
  { name: 'full disk', inject: fillDisk },
];

function signal(name: string, kind: NodeJS.Signals): Fault {
  return {
    name: `${kind} of ${name}`,
    inject(node) {
      process.kill(node.component(name).pid, kind);
    },
  };
}

function death(name: string, how: keyof typeof deaths): Fault {
  return {
    name: `${how} in hamlet.${name}`,
    inject: async (node) => runInThread(await node.inspectorUrl(), name, deaths[how], inspectorTimeoutMs),
  };
}

async function fillDisk({ stateFolder }: ChaosNode): Promise<void> {
  const file = path.join(stateFolder, 'ballast');
  const fd = openSync(file, 'w');
  try {
    for (let size = 1 << 20; size >= 512;) {
      try {
        writeSync(fd, Buffer.alloc(size));
      } catch (error) {
        if (errnoOf(error) !== 'ENOSPC') throw error;
        size /= 2;
      }
    }
    await sleep(fullForMs, never);
  } finally {
    closeSync(fd);
    rmSync(file);
  }
}

/** Waits for something that the node does by itself. */
export function until(
  what: string,
  timeoutMs: number,
  probe: () => boolean | Promise<boolean>,
): Promise<true> {
  return poll(async () => ((await probe()) ? true : undefined), { everyMs: 200, timeoutMs, what });
}
