import { readFileSync } from 'node:fs';
import { writeFileAtomic } from '../files.js';
import type { LineBlock } from '../ring/block.js';
import { blockBytes, decodeBlock, encodeBlock, joinBlocks, readBlock, type BlockInfo } from './block.js';

/** Some blocks of a segment that follow each other, and where they lie. */
export interface Entry extends BlockInfo {
  readonly offset: number;
}

/** The blocks of a segment up to the first that is not whole, and how many bytes they take. */
export function scanSegment(bytes: Buffer): { readonly entries: Entry[]; readonly validBytes: number } {
  const entries: Entry[] = [];
  let offset = 0;
  for (let info = readBlock(bytes, 0); info !== undefined; info = readBlock(bytes, offset)) {
    // Numbers only grow: what does not is no segment of ours.
    if (info.to <= info.from || info.from < (entries.at(-1)?.to ?? 0)) break;
    addEntry(entries, { ...info, offset });
    offset += info.bytes;
  }
  return { entries, validBytes: offset };
}

/** Adds blocks to a segment's list; together with those before them as long as that is a block's worth. */
export function addEntry(entries: Entry[], entry: Entry): void {
  const last = entries.at(-1);
  if (last?.to !== entry.from || last.bytes + entry.bytes > blockBytes) {
    entries.push(entry);
    return;
  }
  entries[entries.length - 1] = {
    offset: last.offset,
    bytes: last.bytes + entry.bytes,
    from: last.from,
    to: entry.to,
    latestMs: Math.max(last.latestMs, entry.latestMs),
    lastRun: Math.max(last.lastRun, entry.lastRun),
  };
}

/** The blocks in the bytes of an entry, as far as they are whole. */
export function* decodeBlocks(bytes: Buffer): Generator<LineBlock, void> {
  let offset = 0;
  for (let info = readBlock(bytes, 0); info !== undefined; info = readBlock(bytes, offset)) {
    yield decodeBlock(bytes, offset, info);
    offset += info.bytes;
  }
}

/**
 * Writes a segment anew, packed: whole or not at all. Gives its bytes. The old one is read up to the first block that is
 * not whole, as always. Throws what reading and writing throw.
 */
export function packSegment({ from, to }: { readonly from: string; readonly to: string }): number {
  const packed = Buffer.concat(
    [...joinBlocks(decodeBlocks(readFileSync(from)))].map((block) => encodeBlock(block, true)),
  );
  writeFileAtomic(to, packed, 0o600);
  return packed.length;
}
