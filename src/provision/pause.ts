import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { putEntry, temporaryFolder, type Entry } from './cache.js';
import { runCommand } from './command.js';
import type { Downloads } from './downloads.js';
import { imageArchive } from './image-archive.js';
import { givenPauseInputs, pauseArtefact, pauseRef, pauseVersion } from './recipes.js';

/** Nobody: the pause program needs no rights (build/pause/Dockerfile). */
const pauseUser = '65535:65535';

/** Makes the image of the process that holds a pod's namespaces, from the one C file in Kubernetes' source. */
export async function buildPause(
  cacheDir: string,
  downloads: Downloads,
  signal: AbortSignal,
): Promise<Entry> {
  const scratch = temporaryFolder(cacheDir);
  const source = path.join(scratch, 'pause.c');
  const binary = path.join(scratch, 'pause');
  const code = await runCommand(
    [
      ...(['tar', '--extract', '--to-stdout', '--wildcards', '--file', downloads.kubernetes.orig] as const),
      '*/build/pause/linux/pause.c',
    ],
    { signal },
  );
  writeFileSync(source, code);
  await runCommand(
    ['gcc', '-Os', '-Wall', '-Werror', '-static', '-s', `-DVERSION=v${pauseVersion}`, '-o', binary, source],
    { signal },
  );
  const output = temporaryFolder(cacheDir);
  const archive = imageArchive(pauseRef, { User: pauseUser, Entrypoint: ['/pause'], Env: ['PATH=/'] }, [
    { type: 'file', name: 'pause', mode: 0o755, data: readFileSync(binary) },
  ]);
  writeFileSync(path.join(output, pauseArtefact.file), archive);
  const parts = {
    given: givenPauseInputs(),
    found: { kubernetes: downloads.kubernetes.version },
    facts: {},
  };
  return putEntry(cacheDir, pauseArtefact.kind, output, parts, signal);
}
