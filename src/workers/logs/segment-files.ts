import { constants } from 'node:fs';
import { mkdir, open, readdir, readFile, rm, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';

/** A file that grows at its end. */
export interface OpenSegment {
  write(bytes: Buffer, position: number): Promise<void>;
  truncate(bytes: number): Promise<void>;
  /** Resolves when what was written is where a power cut does not reach it. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** All that is done to the disk for the segments; tests put a fault behind it. */
export interface SegmentFiles {
  /** The names and sizes of the files in a folder, which is made if need be. */
  list(dir: string): Promise<{ readonly name: string; readonly bytes: number }[]>;
  open(file: string): Promise<OpenSegment>;
  readAll(file: string): Promise<Buffer>;
  read(file: string, offset: number, bytes: number): Promise<Buffer>;
  remove(file: string): Promise<void>;
}

export const segmentFiles: SegmentFiles = {
  async list(dir) {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const names = await readdir(dir);
    return Promise.all(names.map(async (name) => ({ name, bytes: (await stat(path.join(dir, name))).size })));
  },

  async open(file) {
    // Without O_APPEND, which would have the kernel ignore where a write is meant to go.
    const handle = await open(file, constants.O_WRONLY | constants.O_CREAT, 0o600);
    await syncFolder(path.dirname(file));
    return new SegmentHandle(handle);
  },

  readAll: (file) => readFile(file),

  async read(file, offset, bytes) {
    const handle = await open(file, 'r');
    try {
      const buffer = Buffer.allocUnsafeSlow(bytes);
      const { bytesRead } = await handle.read(buffer, 0, bytes, offset);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  },

  remove: (file) => rm(file, { force: true }),
};

class SegmentHandle implements OpenSegment {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async write(bytes: Buffer, position: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, position + done);
      done += bytesWritten;
    }
  }

  truncate(bytes: number): Promise<void> {
    return this.#handle.truncate(bytes);
  }

  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** So that the file is found after a power cut. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
