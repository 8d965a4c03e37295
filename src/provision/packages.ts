import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { HamletError, isHamletError } from '../lib/errors.js';
import { updateLists } from './apt.js';
import { runCommand } from './command.js';

/** Where invoke-rc.d looks before it starts a service (its manual, section "policy-rc.d"). */
const policyFile = '/usr/sbin/policy-rc.d';
/** Marks our own, so that one which a power cut left behind is recognized. */
const policyMark = '# placed by hamlet while it installs packages';
const dpkgUpdates = '/var/lib/dpkg/updates';
const outputTailLines = 15;

/** What a package brings along that Debian would start by itself, now and at each boot. */
const servicesOf: Readonly<Record<string, string>> = { 'etcd-server': 'etcd', containerd: 'containerd' };

/**
 * Installs packages while no service may be started, unless the machine has a policy of its own. A script and not
 * calls from here, because it has to take the policy away even when this process is killed; for the same reason its
 * output goes to a file.
 */
const installScript = `
policy=${policyFile}
log=$1
shift
if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' HUP INT TERM
  printf '#!/bin/sh\\n${policyMark}\\nexit 101\\n' > "$policy.$$"
  chmod 755 "$policy.$$"
  mv "$policy.$$" "$policy"
fi
apt-get install --yes -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" > "$log" 2>&1
`;

/** Which of these Debian packages are not installed. */
export async function missingPackages(names: readonly string[], signal: AbortSignal): Promise<string[]> {
  // All packages, because dpkg-query fails as soon as one asked for by name is unknown.
  const format = '${db:Status-Status} ${Package}\\n';
  const output = await runCommand(['dpkg-query', '--show', '--showformat', format], { signal });
  const lines = new Set(output.split('\n'));
  return names.filter((name) => !lines.has(`installed ${name}`));
}

/**
 * Installs Debian packages, none of whose services gets started now or at the next boot. The package lists are
 * brought up to date only if it does not go without. The installation itself is not cut short by the signal.
 * Throws ABORTED with the end of apt's output.
 */
export async function installPackages(
  names: readonly string[],
  logFolder: string,
  signal: AbortSignal,
): Promise<void> {
  mkdirSync(logFolder, { recursive: true });
  removeLeftoverPolicy();
  await finishInterruptedInstall(signal);
  try {
    await install(names, logFolder, signal);
  } catch {
    signal.throwIfAborted();
    await updateLists(signal);
    await install(names, logFolder, signal);
  }
  for (const name of names) {
    const service = servicesOf[name];
    if (service !== undefined) await disableService(service, signal);
  }
}

async function install(names: readonly string[], logFolder: string, signal: AbortSignal): Promise<void> {
  const log = path.join(logFolder, 'apt-install.log');
  try {
    await runCommand(['/bin/sh', '-eu', '-c', installScript, 'install', log, ...names], {
      signal,
      finish: true,
    });
  } catch (cause) {
    signal.throwIfAborted();
    const tail = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-outputTailLines);
    throw new HamletError(
      'ABORTED',
      [
        `apt-get install ${names.join(' ')} failed`,
        ...tail.map((line) => `  | ${line}`),
        'Put right what it says, then run the command again.',
      ].join('\n'),
      { cause },
    );
  }
}

/** A power cut in the middle of an installation leaves dpkg's journal behind, and apt refuses to go on before this. */
async function finishInterruptedInstall(signal: AbortSignal): Promise<void> {
  if (readdirSync(dpkgUpdates).length === 0) return;
  await runCommand(['dpkg', '--configure', '-a'], { signal, finish: true });
}

function removeLeftoverPolicy(): void {
  try {
    if (readFileSync(policyFile, 'utf8').includes(policyMark)) rmSync(policyFile);
  } catch {
    // There is none, as there should be.
  }
}

/** Hamlet starts its own; Debian's would come up beside it at the next boot. */
async function disableService(service: string, signal: AbortSignal): Promise<void> {
  try {
    await runCommand(['systemctl', 'disable', `${service}.service`], { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (!isHamletError(error, 'NOT_FOUND')) throw error;
    // A machine without systemd: update-rc.d belongs to Debian's essential packages.
    await runCommand(['update-rc.d', service, 'disable'], { signal }).catch(() => undefined);
  }
}
