import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Contender, Job, Measured, Result } from '../contender.js';

const exec = promisify(execFile);
/** The source is not copied to dist/. */
const source = fileURLToPath(new URL('../../../../bench/ipc/floor.c', import.meta.url));
const REQUEST_BYTES = 128;

/** A C program that does nothing but move the bytes: see floor.c. */
export const contender: Contender = {
  host: async () => {
    const folder = await mkdtemp(join(tmpdir(), 'hamlet-bench-'));
    const program = join(folder, 'floor');
    await exec('cc', ['-O2', '-o', program, source]);
    let cpuUs = 0;
    const request = async (job: Job): Promise<Result> => {
      if (job.kind === 'items') throw new Error('the floor has no streams');
      const answerBytes = job.kind === 'blob' ? job.bytes : REQUEST_BYTES;
      const args = [job.outstanding, job.ms, REQUEST_BYTES, answerBytes].map(String);
      const { stdout } = await exec(program, args);
      const measured = JSON.parse(stdout) as Measured;
      cpuUs += measured.cpuUs;
      return { ...measured, besideCount: 0 };
    };
    return {
      caller: { request, stop: async () => undefined },
      extraCpuUs: async () => cpuUs,
      stop: () => rm(folder, { recursive: true, force: true }),
    };
  },
};
