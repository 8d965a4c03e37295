import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { HamletError } from '../lib/errors.js';
import type { Config } from '../platform/config.js';
import { runPaths } from '../platform/paths.js';

const program = fileURLToPath(new URL('../cli/main.js', import.meta.url));

/**
 * Runs dbg on this terminal, against the node that this configuration is for. Gives its exit code.
 * Throws FAILED_PRECONDITION where there is nothing that it could ask.
 */
export async function runDbg({ debug, paths }: Config, args: readonly string[]): Promise<number> {
  if (!debug.enabled) {
    const remedy = 'set debug.enabled to true and start the node again';
    throw new HamletError(
      'FAILED_PRECONDITION',
      `the debug API is turned off in the configuration; ${remedy}`,
    );
  }
  const env = { ...process.env, DBG_ENDPOINT: `unix:${runPaths(paths.run).debugSocket}` };
  const child = spawn(process.execPath, [program, ...args], { stdio: 'inherit', env });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}
