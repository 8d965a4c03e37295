import { setTimeout as delay } from 'node:timers/promises';
import { type Beside, type Caller, type Job, makeMessage, type Result } from './contender.js';

/** Runs a job in the caller's thread. */
export async function run(caller: Caller, job: Job): Promise<Result> {
  switch (job.kind) {
    case 'echo': {
      const stop = new AbortController();
      const beside = job.beside === undefined ? undefined : disturb(caller, job.beside, stop.signal);
      // The disturbance has to be under way before anything is measured.
      if (beside !== undefined) await delay(200);
      let id = 0;
      const result = await loop(job.outstanding, job.ms, async () => {
        const message = makeMessage(id++);
        const answer = await caller.echo(message);
        if (answer.id !== message.id) throw new Error('an answer for somebody else');
      });
      stop.abort();
      return { ...result, besideCount: (await beside) ?? 0 };
    }
    case 'blob':
      return loop(job.outstanding, job.ms, async () => {
        const answer = await caller.blob?.(job.bytes);
        if (answer?.length !== job.bytes) throw new Error('an answer of the wrong size');
      });
    case 'items': {
      const startMs = performance.now();
      const count = await caller.items?.(job.count);
      if (count !== job.count) throw new Error(`${count} items instead of ${job.count}`);
      const seconds = (performance.now() - startMs) / 1_000;
      return { count, seconds, p50Us: 0, p99Us: 0, besideCount: 0 };
    }
    default:
      return job satisfies never;
  }
}

async function loop(outstanding: number, ms: number, call: () => Promise<void>): Promise<Result> {
  const latencies: number[] = [];
  const startMs = performance.now();
  const endMs = startMs + ms;
  const one = async () => {
    for (;;) {
      const beganMs = performance.now();
      if (beganMs >= endMs) return;
      await call();
      latencies.push(performance.now() - beganMs);
    }
  };
  await Promise.all(Array.from({ length: outstanding }, one));
  const seconds = (performance.now() - startMs) / 1_000;
  const sorted = Float64Array.from(latencies).sort();
  const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0) * 1_000;
  return { count: sorted.length, seconds, p50Us: at(0.5), p99Us: at(0.99), besideCount: 0 };
}

async function disturb(caller: Caller, beside: Beside, signal: AbortSignal): Promise<number> {
  if (beside.kind === 'stuck') {
    await caller.floodStuck?.(signal);
    return 0;
  }
  let count = 0;
  while (!signal.aborted) {
    await caller.blob?.(beside.bytes);
    count += 1;
  }
  return count;
}
