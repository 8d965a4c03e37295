#!/usr/bin/env node
import { parseArguments, usage } from './host/arguments.js';
import { endProcess, exitCodes, fail } from './host/exit.js';
import { runDbg } from './host/dbg.js';
import { runWithUpgrades } from './host/handover.js';
import { mainProcessChange } from './host/init-notify.js';
import { runNode } from './host/node.js';
import { raisePriority } from './host/priority.js';
import { reset } from './host/reset/reset.js';
import { upgrade } from './host/upgrade.js';
import { setV8Options } from './host/v8-options.js';
import { HamletError } from './lib/errors.js';
import { loadConfig } from './platform/config.js';
import { runPaths } from './platform/paths.js';
import { checkHost } from './platform/preflight.js';
import { findComponents } from './provision/components.js';

const workers = {
  certs: new URL('./workers/certs/main.js', import.meta.url),
  kubelet: new URL('./workers/kubelet/main.js', import.meta.url),
  reconciler: new URL('./workers/reconciler/main.js', import.meta.url),
  logs: new URL('./workers/logs/main.js', import.meta.url),
  debug: new URL('./workers/debug/main.js', import.meta.url),
};

/** Set by who did other things in this process first (scripts/start.mjs). */
const setUpMark = 'hamlet is set up';

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => stop.abort(new HamletError('CANCELLED', `stopped by ${name}`)));
}

// Whoever reads what is printed here may go away, as `head` and a closed terminal do: the node goes on.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

void main().then(endProcess, (error: unknown) => endProcess(fail(error, stop.signal)));

async function main(): Promise<number> {
  const { command, config: file, yes, dbg = [] } = parseArguments(process.argv.slice(2));
  let exitCode: number = exitCodes.ok;
  switch (command) {
    case 'help':
      process.stdout.write(usage);
      break;
    case 'run': {
      setV8Options();
      const config = await loadConfig(file);
      await checkHost(config);
      await raisePriority();
      const node = { config, workers, findComponents, stop: stop.signal };
      let beganMs = performance.getEntriesByName(setUpMark)[0]?.startTime ?? 0;
      exitCode = await runWithUpgrades({
        run: async (leave, onRunning, failure) => {
          const outcome = await runNode({ ...node, beganMs, leave, failure, onRunning });
          // Should it run again, then because its successor did not come up.
          beganMs = performance.now();
          return outcome;
        },
        file: runPaths(config.paths.run).upgrade,
        stop: stop.signal,
        passOn: mainProcessChange(process.env),
      });
      break;
    }
    case 'upgrade': {
      const config = await loadConfig(file);
      await checkHost(config);
      await upgrade(config, stop.signal);
      break;
    }
    case 'pki':
      exitCode = await runDbg(await loadConfig(file), dbg);
      break;
    case 'reset':
      await reset(await loadConfig(file), { yes, signal: stop.signal });
      break;
    default:
      command satisfies never;
  }
  return exitCode;
}
