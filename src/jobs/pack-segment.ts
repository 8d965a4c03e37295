import { readlinkSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import path from 'node:path';
import { packSegment as pack } from '../lib/segments/segment.js';

let isNice = false;

/**
 * Compresses a segment of a log into another file; gives its bytes. Some 50 ms of one core for 4 MiB, of the time that
 * nobody else in the process wants: from its first such job on the thread has the lowest priority.
 */
export function packSegment(files: { readonly from: string; readonly to: string }): number {
  if (!isNice) beNice();
  return pack(files);
}

function beNice(): void {
  isNice = true;
  try {
    // To Linux a thread is a process with a number of its own (setpriority(2), "C library/kernel differences").
    setPriority(Number(path.basename(readlinkSync('/proc/thread-self'))), constants.priority.PRIORITY_LOW);
  } catch {
    // It works all the same.
  }
}
