import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { errnoOf } from '../../src/lib/errors.js';
import { componentNames, workerNames } from '../../src/lib/names.js';
import { poll, sleep } from '../../src/lib/time.js';
import { backoffMaxMs } from '../../src/supervision/backoff.js';
import type { ChaosNode } from './node.js';
import { damage, type Fault, type Noticed } from './fault.js';
import { noDescriptors, noProcesses } from './limits.js';
import { troubleOnLoopback, type Trouble } from './network.js';
import type { Death } from './thread-agent.js';

/** A thread has answered by then that it knows. */
const deathMs = 100;
/** How long packets are lost or delayed: many probes and leases fall into it. */
const troubleMs = 10_000;
/** How long the machine has nothing left: what has died before, so that it waits for long, tries to start meanwhile. */
const shortageMs = backoffMaxMs + 2_000;
/** Hamlet says so before that is over. */
const tellMs = 15_000;
/** A Hamlet that is started is up by then, whatever the machine lacks. */
const startMs = 60_000;
/** It ends itself when it has to write and cannot. */
const endsOnFullDisk = ['etcd'];
const tellsOfFullDisk = /no space|is left of/i;
const daySeconds = 86_400;
/** The component that dies while something else is wrong; nothing needs it. */
const victim = 'kube.scheduler';
/** Who has certificates: those that a wrong clock has issued are good for nothing when it is right, and are replaced. */
const certified = componentNames.filter((name) => name.startsWith('kube.'));

/** Everything that can be done to the node, each under a name of its own. */
export const faults: readonly Fault[] = [
  ...componentNames.flatMap((name) => [
    end(name, 'SIGKILL', (node, pid) => node.kill(pid, 'SIGKILL')),
    end(name, 'SIGSTOP', (node, pid) => node.kill(pid, 'SIGSTOP')),
    end(name, 'SIGTERM', (node, pid) => node.kill(pid, 'SIGTERM')),
    end(name, 'exit 0', (node, pid) => node.exit.run(pid)),
  ]),
  ...workerNames.flatMap((name) => (['throw', 'memory', 'loop'] as const).map((how) => death(name, how))),
  ...(['SIGKILL', 'SIGSEGV'] as const).map((signal) => ({
    name: `${signal} of hamlet`,
    costs: 'lines' as const,
    async inject(node: ChaosNode) {
      await node.killHamlet(signal);
      node.start();
      return undefined;
    },
  })),
  {
    name: 'SIGHUP of hamlet',
    costs: 'own lines',
    inject(node) {
      const { pid } = node;
      node.kill(pid, 'SIGHUP');
      return () => node.pid !== pid;
    },
  },
  {
    name: 'full disk',
    ends: endsOnFullDisk,
    tells: tellsOfFullDisk,
    inject: (node, signal) => fillDisk(node, signal),
  },
  {
    name: 'full disk, SIGKILL of hamlet',
    ends: endsOnFullDisk,
    tells: tellsOfFullDisk,
    costs: 'lines since',
    inject: (node, signal) =>
      fillDisk(node, signal, async () => {
        await node.killHamlet('SIGKILL');
        node.start();
        await node.waitForCondition('DataAvailable', false, startMs, signal);
      }),
  },
  {
    name: 'full disk, SIGHUP of hamlet',
    ends: endsOnFullDisk,
    tells: tellsOfFullDisk,
    costs: 'own lines',
    inject: (node, signal) =>
      fillDisk(node, signal, async () => {
        const { pid } = node;
        node.kill(pid, 'SIGHUP');
        const what = 'a successor on a full disk';
        await poll(() => node.pid !== pid || undefined, { everyMs: 200, timeoutMs: startMs, signal, what });
        await node.waitForCondition('DataAvailable', false, tellMs, signal);
      }),
  },
  shortage('no file descriptors', /EMFILE|too many open files/, noDescriptors),
  shortage('no processes', /EAGAIN|ERR_WORKER_INIT_FAILED/, noProcesses),
  packets('a fifth of the loopback packets lost', { kind: 'lost', share: 0.2 }),
  packets('all loopback packets lost', { kind: 'lost', share: 1 }),
  packets('loopback packets delayed', { kind: 'delayed', kbits: 500 }),
  clock('clock a year ahead', () => 365 * daySeconds, certified),
  clock('clock an hour back', () => -3_600, [victim]),
  clock('clock in 1970', () => 60 - Date.now() / 1_000, certified),
];

/** A component that dies, or hangs; over when another process does its work. */
function end(name: string, how: string, inject: (node: ChaosNode, pid: number) => void): Fault {
  return {
    name: `${how} of ${name}`,
    ends: [name],
    inject(node) {
      const { pid } = node.component(name);
      inject(node, pid);
      return isReplaced(node, name, pid);
    },
  };
}

function death(worker: string, how: Death): Fault {
  const name = `hamlet.${worker}`;
  return {
    name: `${how} in ${name}`,
    async inject(node) {
      const before = node.restarts(name);
      await node.threads.end(worker, { death: how, afterMs: deathMs });
      return () => node.restarts(name) > before;
    },
  };
}

/** As long as the disk is full the node says so, also after what is done `meanwhile`; then it has room again. */
async function fillDisk(
  node: ChaosNode,
  signal: AbortSignal,
  meanwhile: () => Promise<void> = async () => {},
): Promise<undefined> {
  const file = path.join(node.stateFolder, 'ballast');
  const fd = openSync(file, 'w');
  using _ = damage(() => {
    closeSync(fd);
    rmSync(file);
  });
  for (let size = 1 << 20; size >= 512;) {
    try {
      writeSync(fd, Buffer.alloc(size));
    } catch (error) {
      if (errnoOf(error) !== 'ENOSPC') throw error;
      size /= 2;
    }
  }
  await node.waitForCondition('DataAvailable', false, tellMs, signal);
  await meanwhile();
}

/** While nothing is left, a component and a worker die: they cannot come back before it is over. */
function shortage(name: string, tells: RegExp, begin: (pid: number) => Disposable): Fault {
  return {
    name,
    ends: [victim],
    tells,
    async inject(node, signal) {
      const { pid } = node.component(victim);
      // To be told it needs a descriptor: it dies a moment after there are no more.
      await node.threads.end('reconciler', { death: 'throw', afterMs: 1_000 });
      {
        using _ = begin(node.pid);
        node.kill(pid, 'SIGKILL');
        await sleep(shortageMs, signal);
      }
      return isReplaced(node, victim, pid);
    },
  };
}

function packets(name: string, trouble: Trouble): Fault {
  return {
    name,
    async inject(node, signal) {
      using damaged = troubleOnLoopback(Object.values(node.node.ports), trouble);
      await sleep(troubleMs, signal);
      if (damaged.packets === 0) throw new Error('no packet came by');
      return undefined;
    },
  };
}

/** While the clock is wrong a component dies. It comes back at once, unless nothing is valid at that time. */
function clock(name: string, seconds: () => number, ends: readonly string[]): Fault {
  return {
    name,
    ends,
    tells: /the clock was set/,
    async inject(node, signal) {
      const { pid } = node.component(victim);
      using _ = node.clock.step(seconds());
      node.kill(pid, 'SIGKILL');
      await sleep(troubleMs, signal);
      return isReplaced(node, victim, pid);
    },
  };
}

/** Whether another process does the work of a component. */
function isReplaced(node: ChaosNode, name: string, pid: number): Noticed {
  return () => node.components.some((child) => child.name === name && child.pid !== pid);
}
