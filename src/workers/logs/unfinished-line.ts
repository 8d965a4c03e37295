import { readFileSync, rmSync } from 'node:fs';
import { replaceFile } from '../../lib/files.js';
import type { UnfinishedLine } from '../../lib/line-splitter.js';

/**
 * The beginning of a line that a component had not ended when Hamlet was stopped and the component was not, in a file
 * beside its pipe: the run (u32) and the bytes that have come (f64), little-endian, and behind them those that are kept.
 */
const headerBytes = 12;

/** What the last Hamlet has left, and the run that wrote it. */
export interface Left extends UnfinishedLine {
  readonly run: number;
}

const fileOf = (pipe: string): string => `${pipe}.line`;

/** Leaves a line to the next Hamlet. Throws what writing a file throws. */
export function leaveLine(pipe: string, { run, bytes, kept }: Left): void {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32LE(run, 0);
  header.writeDoubleLE(bytes, 4);
  replaceFile(fileOf(pipe), Buffer.concat([header, kept]), 0o600);
}

/** Takes what the last Hamlet has left, so that nobody takes it again; undefined when that is nothing. */
export function takeLine(pipe: string): Left | undefined {
  let file: Buffer;
  try {
    file = readFileSync(fileOf(pipe));
    rmSync(fileOf(pipe));
  } catch {
    return undefined;
  }
  if (file.length <= headerBytes) return undefined;
  return { run: file.readUInt32LE(0), bytes: file.readDoubleLE(4), kept: file.subarray(headerBytes) };
}
