import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { updateLists } from '../../../src/provision/apt.js';

const execute = promisify(execFile);

/** What Debian's packages still have at the root, and Debian has in /usr. */
const mergedFolders = ['bin', 'lib', 'lib64', 'sbin'];

/**
 * Unpacks Debian packages to `folder`, laid out as Debian's root is. Nothing is installed, and none of their scripts
 * runs. They are downloaded unless `cache` has them. Throws when they can be reached neither here nor there.
 */
export async function unpackPackages(
  names: readonly string[],
  folder: string,
  cache: string,
  signal: AbortSignal,
): Promise<void> {
  for (const name of mergedFolders) {
    mkdirSync(path.join(folder, 'usr', name), { recursive: true });
    symlinkSync(`usr/${name}`, path.join(folder, name));
  }
  mkdirSync(cache, { recursive: true });
  const missing = names.filter((name) => archivesOf(name, cache).length === 0);
  if (missing.length > 0) await download(missing, cache, signal);
  const unpack = 'dpkg-deb --fsys-tarfile "$1" | tar --extract --keep-directory-symlink --directory "$2"';
  for (const archive of names.flatMap((name) => archivesOf(name, cache))) {
    await execute('sh', ['-c', unpack, 'sh', path.join(cache, archive), folder], { signal });
  }
}

/** The package lists are brought up to date only if it does not go without. */
async function download(names: readonly string[], cache: string, signal: AbortSignal): Promise<void> {
  const cwd = mkdtempSync(path.join(cache, '.new-'));
  try {
    // Without root's sandbox: apt's own user may not write into this folder.
    const words = ['download', '-o', 'APT::Sandbox::User=root', ...names];
    await execute('apt-get', words, { cwd, signal }).catch(async () => {
      await updateLists(signal);
      await execute('apt-get', words, { cwd, signal });
    });
    for (const archive of readdirSync(cwd)) renameSync(path.join(cwd, archive), path.join(cache, archive));
  } finally {
    rmSync(cwd, { recursive: true });
  }
}

/** Archives are called NAME_VERSION_ARCHITECTURE.deb. */
function archivesOf(name: string, cache: string): string[] {
  return readdirSync(cache).filter((file) => file.startsWith(`${name}_`));
}
