import { statfsSync } from 'node:fs';
import path from 'node:path';
import { errnoOf } from '../lib/errors.js';

/**
 * Says that fewer than `bytes` are free where `folder` is, or will be; undefined when there is enough.
 * `purpose` is what the space is for, in words.
 */
export function spaceProblem(folder: string, bytes: number, purpose: string): string | undefined {
  const free = freeBytes(folder);
  if (free >= bytes) return undefined;
  return `${purpose} needs ${formatBytes(bytes)} free in ${folder}, and there is ${formatBytes(free)}`;
}

/** The bytes that root can still write in `folder`, or in its nearest parent that exists. */
function freeBytes(folder: string): number {
  for (let place = path.resolve(folder); ; place = path.dirname(place)) {
    try {
      const { bavail, bsize } = statfsSync(place);
      return bavail * bsize;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || place === '/') throw error;
    }
  }
}

function formatBytes(bytes: number): string {
  return bytes < 1e9 ? `${Math.floor(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
