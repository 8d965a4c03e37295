import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { HamletError } from '../lib/errors.js';
import { runCommand, type Command } from './command.js';
import type { Report } from './progress.js';

/** Where Debian keeps the keys of its archive; a machine without it has them where apt looks by itself. */
const debianKeyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** An archive that apt is set up with on this machine. */
export interface ArchiveTarget {
  readonly uri: string;
  readonly codename: string;
}

/**
 * Finds Debian's own main archive for a release in what `apt-get indextargets` prints: records of `Name: value` lines
 * between empty lines. Undefined when apt knows none, which is also so before the first `apt-get update`.
 */
export function findArchive(indexTargets: string, codename: string): ArchiveTarget | undefined {
  for (const record of indexTargets.split(/\n\s*\n/)) {
    const fields = new Map(
      record.split('\n').map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
      }),
    );
    const uri = fields.get('Repo-URI');
    if (
      uri !== undefined &&
      fields.get('Origin') === 'Debian' &&
      fields.get('Codename') === codename &&
      fields.get('Component') === 'main'
    ) {
      return { uri, codename };
    }
  }
  return undefined;
}

/** A source list of one archive, for source packages only (sources.list(5), deb822 style). */
export function sourcesList(archive: ArchiveTarget, keyring: string | undefined): string {
  const lines = [
    'Types: deb-src',
    `URIs: ${archive.uri}`,
    `Suites: ${archive.codename}`,
    'Components: main',
    ...(keyring === undefined ? [] : [`Signed-By: ${keyring}`]),
  ];
  return `${lines.join('\n')}\n`;
}

/** Brings the machine's own package lists up to date. */
export async function updateLists(signal: AbortSignal): Promise<void> {
  await runCommand(['apt-get', 'update', '-qq', '-o', 'DPkg::Lock::Timeout=120'], {
    signal,
    advice: 'Check the network and the sources in /etc/apt, then run the command again.',
  });
}

/**
 * Downloads the newest source packages of these names from the archive that this machine uses, through an apt
 * configuration of its own below `aptFolder`: the machine's lists and sources stay as they are. What is already in
 * `folder` is not downloaded again, and apt checks everything against the archive's signature.
 * Throws FAILED_PRECONDITION when apt knows no Debian archive for `codename`.
 */
export async function downloadSources(
  packages: readonly string[],
  options: {
    readonly codename: string;
    readonly aptFolder: string;
    readonly folder: string;
    readonly signal: AbortSignal;
    readonly report: Report;
  },
): Promise<void> {
  const { aptFolder, folder, signal, report } = options;
  const archive = await requireArchive(options.codename, signal);
  const lists = path.join(aptFolder, 'lists');
  const cache = path.join(aptFolder, 'cache');
  for (const needed of [path.join(lists, 'partial'), path.join(cache, 'archives/partial'), folder]) {
    mkdirSync(needed, { recursive: true });
  }
  const sources = path.join(aptFolder, 'hamlet.sources');
  writeFileSync(sources, sourcesList(archive, existsSync(debianKeyring) ? debianKeyring : undefined));
  const apt: Command = [
    'apt-get',
    ...['-o', `Dir::Etc::sourcelist=${sources}`, '-o', 'Dir::Etc::sourceparts=-'],
    ...['-o', `Dir::State::lists=${lists}`, '-o', `Dir::Cache=${cache}`],
    ...['-o', 'Acquire::Retries=3', '-o', 'APT::Status-Fd=1'],
    // The folder belongs to root, so apt's unprivileged user could not write the files it downloads.
    ...['-o', 'APT::Sandbox::User=root'],
  ];
  const run = {
    cwd: folder,
    signal,
    onLine: (line: string) => {
      const percent = downloadPercent(line);
      if (percent !== undefined) report(`${percent} %`);
    },
    advice: 'Check the network, then run the command again: what was downloaded is kept.',
  };
  report('package lists');
  await runCommand([...apt, 'update'], run);
  await runCommand([...apt, 'source', '--download-only', ...packages], run);
}

/** The .dsc files of a source package in a folder. */
export function listDscFiles(folder: string, name: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.startsWith(`${name}_`) && file.endsWith('.dsc'))
    .map((file) => path.join(folder, file));
}

/** "dlstatus:2:41.27:Retrieving file 2 of 3": how far apt's downloads are (apt's README.progress-reporting). */
function downloadPercent(line: string): number | undefined {
  const match = /^dlstatus:[^:]*:([\d.]+):/.exec(line);
  return match === null ? undefined : Math.round(Number(match[1]));
}

async function requireArchive(codename: string, signal: AbortSignal): Promise<ArchiveTarget> {
  const find = async () => findArchive(await runCommand(['apt-get', 'indextargets'], { signal }), codename);
  let archive = await find();
  if (archive === undefined) {
    await updateLists(signal);
    archive = await find();
  }
  if (archive !== undefined) return archive;
  throw new HamletError(
    'FAILED_PRECONDITION',
    `apt is set up with no Debian archive for ${codename} (component main), which Kubernetes' source comes from; ` +
      'add it to the sources in /etc/apt, or set components.dir in the configuration to binaries of your own',
  );
}
