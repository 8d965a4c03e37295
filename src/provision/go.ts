import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { isHamletError } from '../lib/errors.js';
import { writeFileAtomic } from '../lib/files.js';
import { bootId } from '../platform/boot-id.js';
import { cachePaths } from './cache.js';
import { commandEnvironment, runCommand } from './command.js';

/** How long the disk may take to hold what a build wrote, some 1.2 GB. */
const syncTimeoutMs = 120_000;

/**
 * The environment of every Go command: GOPATH mode, because the source's vendor folder does not satisfy module mode;
 * no C compiler; nothing of the user's own Go settings; all scratch files below the cache.
 */
export function goEnvironment(cacheDir: string, gopath: string): Record<string, string> {
  const { goBuild, tmp } = cachePaths(cacheDir);
  const scratch = path.join(tmp, 'go');
  mkdirSync(scratch, { recursive: true });
  return commandEnvironment({
    GOPATH: gopath,
    GOCACHE: goBuild,
    GOTMPDIR: scratch,
    GO111MODULE: 'off',
    GOENV: 'off',
    GOFLAGS: '',
    CGO_ENABLED: '0',
    HOME: scratch,
  });
}

/** The installed compiler's version ("go1.19.8"), or undefined when there is none. Changes nothing anywhere. */
export async function goVersion(signal: AbortSignal): Promise<string | undefined> {
  const env = commandEnvironment({ GOENV: 'off', HOME: '/nonexistent' });
  try {
    return (await runCommand(['go', 'env', 'GOVERSION'], { signal, env })).trim();
  } catch (error) {
    if (isHamletError(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

/**
 * Runs a build that writes to the compiler's cache. The compiler makes that cache safe against its own death but does
 * not sync it, so after a power cut it can hold files whose content never reached the disk: a build that a reboot cut
 * off leaves its mark behind, and the next one begins with an empty cache.
 */
export async function withGoCache<T>(cacheDir: string, build: () => Promise<T>): Promise<T> {
  const { goBuild } = cachePaths(cacheDir);
  const mark = `${goBuild}.in-use`;
  const boot = bootId();
  if (existsSync(mark) && readFileSync(mark, 'utf8') !== boot)
    rmSync(goBuild, { recursive: true, force: true });
  mkdirSync(goBuild, { recursive: true });
  writeFileAtomic(mark, boot, 0o644);
  try {
    return await build();
  } finally {
    await runCommand(['sync', '--file-system', goBuild], { signal: AbortSignal.timeout(syncTimeoutMs) });
    rmSync(mark);
  }
}
