import { constants } from 'node:os';
import { packSegment as pack } from '../lib/segments/segment.js';
import { lowerThreadPriority } from '../lib/thread-priority.js';

let isNice = false;

/**
 * Compresses a segment of a log into another file; gives its bytes. Some 50 ms of one core for 4 MiB, of the time that
 * nobody else in the process wants: from its first such job on the thread has the lowest priority.
 */
export function packSegment(files: { readonly from: string; readonly to: string }): number {
  if (!isNice) lowerThreadPriority(constants.priority.PRIORITY_LOW);
  isNice = true;
  return pack(files);
}
