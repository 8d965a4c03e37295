import { mkdirSync, readdirSync, statSync, watch } from 'node:fs';
import path from 'node:path';
import type { Logger } from 'pino';
import { messageOf } from '../../lib/errors.js';
import { abortable } from '../../lib/time.js';
import { containerdSocket } from '../../platform/paths.js';
import type { Context } from './component.js';

/** What an image archive is called. */
const archiveName = /\.(tar|tar\.gz|tgz)$/;
/** A file counts as complete when it has not changed for so long, in milliseconds. */
const settleMs = 300;

/** Runs a command to its end; the main thread does it, as every start of a process. */
export type RunCommand = (
  argv: readonly [string, ...string[]],
  signal: AbortSignal,
) => Promise<{ readonly code: number | null; readonly output: string }>;

/** The names of all images that containerd has. Throws when it does not answer. */
export type ListTags = (signal: AbortSignal) => Promise<readonly string[]>;

/**
 * Imports the image archives of a folder into containerd: all of them when containerd has come up, and each one that
 * is added or replaced later. That is how a node without a registry gets its images. One that cannot be imported is
 * named in the log and does not keep the others, or the node, from going on.
 */
export class ImageImporter {
  readonly #context: Context;
  readonly #run: RunCommand;
  readonly #tags: ListTags;
  readonly #log: Logger;
  /** What has been imported, and what could not be, by identity(). */
  readonly #done = new Set<string>();
  readonly #failed = new Set<string>();
  #first: Promise<void> | undefined;
  /** Archives are imported one after the other: containerd has other things to do as well. */
  #last = Promise.resolve();

  constructor(context: Context, run: RunCommand, tags: ListTags, log: Logger) {
    this.#context = context;
    this.#run = run;
    this.#tags = tags;
    this.#log = log;
  }

  /**
   * To be called whenever containerd has come up. The first time it begins to watch the folder until the signal is
   * aborted; later it tries again what may have failed because containerd went away.
   */
  start(signal: AbortSignal): void {
    this.#failed.clear();
    // Watched before it is read, so that no archive comes in between.
    if (this.#first === undefined) this.#watch(signal);
    const pass = this.#importNew(signal);
    this.#first ??= pass;
  }

  /** Resolves when everything that lay in the folder at the start has been tried. */
  async imported(signal: AbortSignal): Promise<void> {
    await abortable(this.#first ?? Promise.resolve(), signal);
  }

  #watch(signal: AbortSignal): void {
    const { imagesDir } = this.#context.config;
    let settled: NodeJS.Timeout | undefined;
    const notWatched = (error: unknown): void => {
      if (signal.aborted) return;
      this.#log.error(
        { err: error },
        `${imagesDir} is not watched: what is added to it waits for the next start`,
      );
    };
    try {
      mkdirSync(imagesDir, { recursive: true });
      const watcher = watch(imagesDir, { signal }, () => {
        // A file that is still being written gives another notice, and waits for that one to settle.
        clearTimeout(settled);
        settled = setTimeout(() => void this.#importNew(signal), settleMs);
      });
      watcher.on('error', notWatched);
      watcher.once('close', () => clearTimeout(settled));
    } catch (error) {
      notWatched(error);
    }
  }

  /** Goes through the folder, after whatever is under way. Never rejected. */
  #importNew(signal: AbortSignal): Promise<void> {
    this.#last = this.#last.then(() => this.#pass(signal));
    return this.#last;
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const { archive, ref } = this.#context.components.pauseImage;
    for (const file of [archive, ...this.#archives()]) {
      const key = identity(file);
      if (key === undefined || this.#done.has(key) || this.#failed.has(key)) continue;
      try {
        // Its name has its version; and every start of a node would wait for another import of the same.
        if (file !== archive || !(await this.#has(ref, signal))) await this.#import(file, signal);
        this.#done.add(key);
      } catch (error) {
        if (signal.aborted) return;
        this.#failed.add(key);
        // One that has changed meanwhile gets another pass; it was not all there yet.
        if (identity(file) !== key) continue;
        this.#log.error({ file, reason: messageOf(error) }, `${file} was not imported`);
      }
    }
  }

  async #has(ref: string, signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.#tags(signal)).includes(ref);
    } catch {
      return false;
    }
  }

  #archives(): string[] {
    const { imagesDir } = this.#context.config;
    try {
      const names = readdirSync(imagesDir).filter((name) => archiveName.test(name) && !name.startsWith('.'));
      return names.sort().map((name) => path.join(imagesDir, name));
    } catch (error) {
      this.#log.error({ err: error }, `the image archives in ${imagesDir} cannot be listed`);
      return [];
    }
  }

  async #import(file: string, signal: AbortSignal): Promise<void> {
    const { components, config } = this.#context;
    const socket = containerdSocket(config.paths.run);
    const { code, output } = await this.#run(
      [components.ctr, '-a', socket, '-n', 'k8s.io', 'images', 'import', file],
      signal,
    );
    if (code !== 0) throw new Error(output.trim().split('\n').slice(-3).join(' '));
    this.#log.info({ file }, 'image archive imported');
  }
}

/** Names one state of a file; undefined when it is gone again, or cannot be looked at. */
function identity(file: string): string | undefined {
  try {
    const { ino, size, mtimeMs } = statSync(file);
    return `${file}:${ino}:${size}:${mtimeMs}`;
  } catch {
    return undefined;
  }
}
