import { statfsSync } from 'node:fs';
import path from 'node:path';
import { HamletError, errnoOf } from '../lib/errors.js';

/**
 * Throws FAILED_PRECONDITION when fewer than `bytes` are free where `folder` is, or will be.
 * `purpose` is what the space is for, in words.
 */
export function requireFreeSpace(folder: string, bytes: number, purpose: string): void {
  const free = freeBytes(folder);
  if (free >= bytes) return;
  throw new HamletError(
    'FAILED_PRECONDITION',
    `${purpose} needs ${formatGigabytes(bytes)} free in ${folder}, and there is ${formatGigabytes(free)}`,
  );
}

/** The bytes that root can still write in `folder`, or in its nearest parent that exists. */
export function freeBytes(folder: string): number {
  for (let place = path.resolve(folder); ; place = path.dirname(place)) {
    try {
      const { bavail, bsize } = statfsSync(place);
      return bavail * bsize;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || place === '/') throw error;
    }
  }
}

function formatGigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
