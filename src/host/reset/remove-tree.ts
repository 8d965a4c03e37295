import { lstatSync, readdirSync, rmSync, rmdirSync } from 'node:fs';
import path from 'node:path';
import { errnoOf, messageOf } from '../../lib/errors.js';

/**
 * Deletes a file or a folder with all that is in it, but never what is mounted in there: that belongs elsewhere.
 * `mountPoints` are those of the whole machine. Returns what stays, in words; the rest is gone.
 */
export function removeTree(target: string, mountPoints: ReadonlySet<string>): string[] {
  if (mountPoints.has(target)) {
    return [`${target} is mounted, and not by the node; unmount it and run the reset again`];
  }
  if (![...mountPoints].some((point) => point.startsWith(`${target}/`))) {
    try {
      rmSync(target, { recursive: true, force: true });
      return [];
    } catch {
      // One by one, then, so that only what cannot be deleted stays.
    }
  }
  try {
    if (!lstatSync(target).isDirectory()) {
      rmSync(target);
      return [];
    }
    const failed = readdirSync(target).flatMap((name) => removeTree(path.join(target, name), mountPoints));
    if (failed.length === 0) rmdirSync(target);
    return failed;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    return [`${target} cannot be deleted: ${messageOf(error)}${remedy(error)}`];
  }
}

/** What a person can do about it. */
function remedy(error: unknown): string {
  const advice: Readonly<Record<string, string>> = {
    EPERM: '; "lsattr -d" shows whether it is immutable, "chattr -i" ends that',
    EROFS: '; mount the file system for writing',
    EBUSY: '; end what uses it and run the reset again',
  };
  return advice[errnoOf(error) ?? ''] ?? '';
}
