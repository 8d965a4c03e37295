import { readFileSync, rmSync } from 'node:fs';
import { runCommand, type Command } from './command.js';

/** Where invoke-rc.d looks before it starts a service (its manual, section "policy-rc.d"). */
const machinePolicyFile = '/usr/sbin/policy-rc.d';
/** Marks our own, so that one which a power cut left behind is recognized. */
const mark = '# placed by hamlet while it installs packages';

/**
 * Runs "$@" while the policy lets no service start, unless the machine has a policy of its own. A script and not calls
 * from here, because it has to take the policy away even when this process is killed; for the same reason the output
 * goes to a file.
 */
const script = `
policy=$1
log=$2
shift 2
if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' HUP INT TERM
  printf '#!/bin/sh\\n${mark}\\nexit 101\\n' > "$policy.$$"
  chmod 755 "$policy.$$"
  mv "$policy.$$" "$policy"
fi
"$@" > "$log" 2>&1
`;

/**
 * Runs a command that installs packages, whose services must not be started by it. It is never cut short: a signal
 * that comes meanwhile is thrown when it has ended, and it goes on to its end when this process is killed.
 * Its output goes to `log`. Throws ABORTED when it fails.
 */
export async function runWithoutServices(
  command: Command,
  options: { readonly log: string; readonly signal: AbortSignal; readonly policyFile?: string },
): Promise<void> {
  const { log, signal, policyFile = machinePolicyFile } = options;
  removeLeftover(policyFile);
  const words: Command = ['/bin/sh', '-eu', '-c', script, 'install', policyFile, log, ...command];
  await runCommand(words, { signal, finish: true });
}

function removeLeftover(policyFile: string): void {
  try {
    if (readFileSync(policyFile, 'utf8').includes(mark)) rmSync(policyFile);
  } catch {
    // There is none, as there should be.
  }
}
