import { mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { errnoOf } from '../lib/errors.js';

/**
 * Makes `folder` hold exactly one link for each program (name to absolute path), for use as the components' PATH.
 * It belongs to the run-time folder, not to the cache: it follows what is installed at this start. A link that is
 * right is left alone and a wrong one is replaced in one step, because components of an earlier run may be using it.
 */
export function linkPrograms(programs: Readonly<Record<string, string>>, folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  for (const name of readdirSync(folder)) {
    if (!Object.hasOwn(programs, name)) rmSync(path.join(folder, name), { recursive: true });
  }
  for (const [name, target] of Object.entries(programs)) {
    const link = path.join(folder, name);
    if (linkTarget(link) === target) continue;
    const temporary = path.join(folder, `.${name}.${process.pid}`);
    symlinkSync(target, temporary);
    renameSync(temporary, link);
  }
}

function linkTarget(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'EINVAL') return undefined;
    throw error;
  }
}
