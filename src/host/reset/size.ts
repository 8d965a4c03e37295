import { lstatSync, type Stats } from 'node:fs';
import path from 'node:path';
import { list } from './traces.js';

/** Bytes on the disk for each of st_blocks (stat(2)). */
const blockBytes = 512;

/** How much of the disk a file or a folder takes, without what is mounted in it, in bytes. */
export function diskUsage(target: string, mountPoints: ReadonlySet<string>): number {
  let stats: Stats;
  try {
    stats = lstatSync(target);
    if (!stats.isDirectory()) return stats.blocks * blockBytes;
  } catch {
    return 0;
  }
  let bytes = stats.blocks * blockBytes;
  for (const name of list(target)) {
    const entry = path.join(target, name);
    if (!mountPoints.has(entry)) bytes += diskUsage(entry, mountPoints);
  }
  return bytes;
}

/** "4 KB", "312 MB", "1.2 GB". */
export function formatBytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  if (bytes >= 1e6) return `${Math.round(bytes / 1e6)} MB`;
  return `${Math.ceil(bytes / 1e3)} KB`;
}
