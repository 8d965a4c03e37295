import path from 'node:path';
import { sleep } from '../../lib/time.js';
import type { Config } from '../../platform/config.js';
import { isAlive, sendSignal } from '../../platform/process.js';
import { count, joined, type Kind } from './kind.js';
import { podProcesses } from './processes.js';
import { list, readTraces } from './traces.js';

/** How long the kernel may take to end killed processes, in milliseconds; a core dump or a slow disk delays it. */
const patienceMs = 20_000;
const pollMs = 20;

/** The processes of pods and of the shims that hold them. They get SIGKILL: nothing of what they could save stays. */
export function pods(config: Config): Kind {
  const find = () => podProcesses(config, readTraces(config));
  return {
    name: 'pods',
    find: () =>
      joined(
        count(list(path.join(config.paths.kubelet, 'pods')).length, 'pod'),
        count(find().length, 'process', 'processes'),
      ),
    async remove(signal) {
      for (let waitedMs = 0; ; waitedMs += pollMs) {
        const left = find();
        if (left.length === 0) return {};
        if (waitedMs >= patienceMs) {
          const failed = left.map(
            ({ pid, argv }) =>
              `process ${pid} (${argv.join(' ').slice(0, 60)}) does not end although it was killed: it waits in the kernel, ` +
              `most likely for a disk or a network file system; make that answer, or restart the machine`,
          );
          return { failed };
        }
        for (const { pid, startTicks } of left) if (isAlive(pid, startTicks)) sendSignal(pid, 'SIGKILL');
        await sleep(pollMs, signal);
      }
    },
  };
}
