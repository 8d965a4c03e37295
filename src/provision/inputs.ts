import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';

/** Named inputs of a build. Their order does not matter, their names and every byte of their values do. */
export type Inputs = Readonly<Record<string, string>>;

/** How much of a file is hashed at once: larger steps are no faster, and this keeps the thread responsive. */
const hashChunkBytes = 1 << 20;

/** SHA-256 over names and values, hex. Two different sets of inputs never give the same text to hash. */
export function hashInputs(inputs: Inputs): string {
  const sorted = Object.entries(inputs).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
}

/** SHA-256 of a file's content, hex. */
export async function hashFile(file: string, signal: AbortSignal): Promise<string> {
  const handle = await open(file);
  try {
    const hash = createHash('sha256');
    const chunk = Buffer.allocUnsafe(hashChunkBytes);
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(chunk.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}

/** One input for the file itself: `{ "main.go": SHA-256 }`. */
export function fileInput(file: string): Inputs {
  return { [path.basename(file)]: createHash('sha256').update(readFileSync(file)).digest('hex') };
}

/** The patches of a folder in the order in which they are applied: by name. An absent folder has none. */
export function listPatches(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.patch'))
    .sort()
    .map((name) => path.join(folder, name));
}
