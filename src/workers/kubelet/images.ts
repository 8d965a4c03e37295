import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { watch } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from 'pino';
import { errnoOf, messageOf } from '../../lib/errors.js';
import type { Context } from './component.js';
import { containerdSocket } from '../../platform/paths.js';

/** What an image archive is called. */
const archiveName = /\.(tar|tar\.gz|tgz)$/;
/** A file counts as complete when it has not changed for so long, in milliseconds. */
const settleMs = 300;

/** Runs a command to its end; the main thread does it, as every start of a process. */
export type RunCommand = (
  argv: readonly [string, ...string[]],
  signal: AbortSignal,
) => Promise<{ readonly code: number | null; readonly output: string }>;

/**
 * Imports the image archives of a folder into containerd: all of them when containerd has come up, and each one that
 * is added or replaced later. That is how a node without a registry gets its images. One that cannot be imported is
 * named in the log and does not keep the others, or the node, from going on.
 */
export class ImageImporter {
  readonly #context: Context;
  readonly #run: RunCommand;
  readonly #log: Logger;
  /** What has been imported, by its path, size and time of change. */
  readonly #done = new Set<string>();
  #first: Promise<void> | undefined;

  constructor(context: Context, run: RunCommand, log: Logger) {
    this.#context = context;
    this.#run = run;
    this.#log = log;
  }

  /** Starts with the first import, once containerd answers, and goes on watching until the signal is aborted. */
  start(signal: AbortSignal): void {
    if (this.#first !== undefined) return;
    mkdirSync(this.#context.config.imagesDir, { recursive: true });
    this.#first = this.#importNew(signal);
    void this.#watch(signal, this.#first).catch((error: unknown) => {
      if (!signal.aborted) this.#log.error({ err: error }, 'image archives are not watched any more');
    });
  }

  /** Resolves when everything that lay in the folder at the start has been tried. */
  async imported(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#first;
  }

  async #watch(signal: AbortSignal, first: Promise<void>): Promise<void> {
    let last = first;
    let settled: NodeJS.Timeout | undefined;
    try {
      for await (const _ of watch(this.#context.config.imagesDir, { signal })) {
        // A file that is still being written gives another notice, and waits for that one to settle.
        clearTimeout(settled);
        settled = setTimeout(() => {
          last = last.then(() => this.#importNew(signal));
        }, settleMs);
      }
    } finally {
      clearTimeout(settled);
    }
  }

  async #importNew(signal: AbortSignal): Promise<void> {
    for (const file of [this.#context.components.pauseImage.archive, ...this.#archives()]) {
      const key = identity(file);
      if (key === undefined || this.#done.has(key)) continue;
      this.#done.add(key);
      try {
        await this.#import(file, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#log.error({ file, reason: messageOf(error) }, `${file} was not imported`);
      }
    }
  }

  #archives(): string[] {
    const { imagesDir } = this.#context.config;
    const names = readdirSync(imagesDir).filter((name) => archiveName.test(name) && !name.startsWith('.'));
    return names.sort().map((name) => path.join(imagesDir, name));
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

/** Names one state of a file; undefined when it is gone again. */
function identity(file: string): string | undefined {
  try {
    const { size, mtimeMs, ino } = statSync(file);
    return `${file}:${ino}:${size}:${mtimeMs}`;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
