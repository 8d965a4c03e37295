import { existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { HamletError, isHamletError } from '../lib/errors.js';
import { updateLists } from './apt.js';
import { runCommand } from './command.js';
import { runWithoutServices } from './service-policy.js';

/** dpkg's journal: not empty when an installation was cut off (dpkg's dirvar/updates). */
const dpkgJournal = '/var/lib/dpkg/updates';
const outputTailLines = 15;

/** What a package brings along that Debian would start by itself, now and at each boot. */
const servicesOf: Readonly<Record<string, string>> = { 'etcd-server': 'etcd', containerd: 'containerd' };

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
  if (readdirSync(dpkgJournal).length > 0) {
    // A power cut in the middle of an installation; apt refuses to go on before this.
    await runCommand(['dpkg', '--configure', '-a'], { signal, finish: true });
  }
  const log = path.join(logFolder, 'apt-install.log');
  try {
    await install(names, log, signal);
  } catch {
    signal.throwIfAborted();
    await updateLists(signal);
    await install(names, log, signal);
  }
  for (const name of names) {
    const service = servicesOf[name];
    if (service !== undefined) await disableService(service, signal);
  }
}

async function install(names: readonly string[], log: string, signal: AbortSignal): Promise<void> {
  const options = ['--yes', '-qq', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120'];
  try {
    await runWithoutServices(['apt-get', 'install', ...options, ...names], { log, signal });
  } catch (cause) {
    signal.throwIfAborted();
    const output = existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n') : [];
    throw new HamletError(
      'ABORTED',
      [
        `apt-get install ${names.join(' ')} failed`,
        ...output.slice(-outputTailLines).map((line) => `  | ${line}`),
        'Put right what it says, then run the command again.',
      ].join('\n'),
      { cause },
    );
  }
}

/** Hamlet starts its own; Debian's would come up beside it at the next boot. */
async function disableService(service: string, signal: AbortSignal): Promise<void> {
  try {
    await runCommand(['systemctl', 'disable', `${service}.service`], { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (!isHamletError(error, 'NOT_FOUND')) throw error;
    // A machine without systemd; update-rc.d fails for a service without a script there, which then starts nothing.
    await runCommand(['update-rc.d', service, 'disable'], { signal }).catch(() => undefined);
  }
}
