import fs from 'node:fs';
import { mkdir, readdir, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { errnoOf } from '../../lib/errors.js';

// Plain descriptors and no FileHandles: of a thread that is ended Node closes the former at once, and the latter when
// they are collected, with a warning for each. Everything is done beside the thread, to open and to close as well: with a
// disk that hangs these hang too, and the pipes have to be read on.
const open = promisify(fs.open);
const close = promisify(fs.close);
const writev = promisify(fs.writev);
const read = promisify(fs.read);
const ftruncate = promisify(fs.ftruncate);
const fdatasync = promisify(fs.fdatasync);
const fsync = promisify(fs.fsync);
const unlink = promisify(fs.unlink);

/** A file that grows at its end. */
export interface OpenSegment {
  /** Writes the parts one behind the other, the first one at `position`. */
  write(parts: readonly Buffer[], position: number): Promise<void>;
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
  /** Puts a small file in place: readers see the old content or the new one. */
  replace(file: string, data: string): Promise<void>;
  /** Takes a file away, if it is there. */
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
    const fd = await open(file, fs.constants.O_WRONLY | fs.constants.O_CREAT, 0o600);
    try {
      await syncFolder(path.dirname(file));
    } catch (error) {
      await close(fd);
      throw error;
    }
    return new SegmentFile(fd);
  },

  readAll: async (file) => segmentFiles.read(file, 0, (await stat(file)).size),

  async read(file, offset, bytes) {
    const fd = await open(file, 'r');
    try {
      const buffer = Buffer.allocUnsafeSlow(bytes);
      const { bytesRead } = await read(fd, buffer, 0, bytes, offset);
      return buffer.subarray(0, bytesRead);
    } finally {
      await close(fd);
    }
  },

  async replace(file, data) {
    const temporary = path.join(path.dirname(file), `.${path.basename(file)}.tmp`);
    const fd = await open(temporary, 'w', 0o600);
    try {
      await new SegmentFile(fd).write([Buffer.from(data)], 0);
      await fdatasync(fd);
    } finally {
      await close(fd);
    }
    await rename(temporary, file);
  },

  // As rm() would, which looks first what it is, in as many steps again.
  async remove(file) {
    try {
      await unlink(file);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  },
};

class SegmentFile implements OpenSegment {
  readonly #fd: number;
  /** What is under way: a descriptor must not be closed while the kernel still works on it. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(parts: readonly Buffer[], position: number): Promise<void> {
    return this.#do(async () => {
      for (let [left, at] = [parts, position]; left.length > 0;) {
        const { bytesWritten } = await writev(this.#fd, left, at);
        left = behind(left, bytesWritten);
        at += bytesWritten;
      }
    });
  }

  truncate(bytes: number): Promise<void> {
    return this.#do(() => ftruncate(this.#fd, bytes));
  }

  sync(): Promise<void> {
    return this.#do(() => fdatasync(this.#fd));
  }

  close(): Promise<void> {
    return this.#do(() => close(this.#fd));
  }

  /** One thing after the other. */
  #do(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work, work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

/** What is left of the parts behind their first `bytes`. */
function behind(parts: readonly Buffer[], bytes: number): readonly Buffer[] {
  let done = 0;
  let rest = bytes;
  for (let part = parts[0]; part !== undefined && part.length <= rest; part = parts[done]) {
    rest -= part.length;
    done += 1;
  }
  return parts.slice(done).map((part, i) => (i === 0 ? part.subarray(rest) : part));
}

/** So that the file is found after a power cut. */
async function syncFolder(folder: string): Promise<void> {
  const fd = await open(folder, 'r');
  try {
    await fsync(fd);
  } finally {
    await close(fd);
  }
}
