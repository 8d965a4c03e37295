import { spawn } from 'node:child_process';
import { readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { poll } from '../../src/lib/time.js';
import { freePorts, type TestNode } from '../../test/node/support/hamlet.js';

/** `getconf CLK_TCK` on every Linux that Node runs on. */
const ticksPerSecond = 100;
/** The processes that an unpatched kubelet starts; du is not one of its own, nice becomes it. */
const counted = ['nice', 'find', 'mount', 'umount'];

/** The pid of a node's kubelet. */
export function kubeletPid(node: TestNode): number {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (
        words.includes('kubelet') &&
        !words.includes('/bin/sh') &&
        words.some((word) => word.includes(node.folder))
      )
        return Number(pid);
    } catch {
      // It has ended.
    }
  }
  throw new Error('there is no kubelet');
}

/** Processor time of a process and of the children that it has waited for, in milliseconds (proc(5), stat). */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
  return (ticks * 1_000) / ticksPerSecond;
}

/**
 * Puts a counter before each program that a kubelet of the node may start. Gives a function that puts the programs
 * back and tells how often they were started.
 */
export function countPrograms(node: TestNode): () => number {
  const { bin } = node.run;
  const log = path.join(node.folder, 'started');
  writeFileSync(log, '');
  const place = (put: (file: string, name: string) => void) => {
    for (const name of counted) {
      rmSync(path.join(bin, name), { force: true });
      put(path.join(bin, name), name);
    }
  };
  place((file, name) => {
    writeFileSync(file, `#!/bin/sh\necho ${name} >> ${log}\nexec /usr/bin/${name} "$@"\n`, { mode: 0o755 });
  });
  return () => {
    place((file, name) => {
      symlinkSync(`/usr/bin/${name}`, file);
    });
    return readFileSync(log, 'utf8').split('\n').length - 1;
  };
}

/** What is looked at in an answer of /stats/summary. */
export interface SummaryAnswer {
  readonly pods?: readonly { readonly volume?: readonly object[] }[];
}

export interface Summary {
  ask(): Promise<SummaryAnswer>;
  close(): void;
}

/** Asks for the kubelet's /stats/summary through `kubectl proxy`, which keeps its connection. */
export async function openSummary(node: TestNode, nodeName: string): Promise<Summary> {
  const [port = 0] = await freePorts(1);
  const dbg = new URL('../../src/cli/main.js', import.meta.url).pathname;
  const words = ['--endpoint', node.endpoint, 'kubectl', 'proxy', `--port=${port}`];
  // A group of its own: dbg runs kubectl as its child.
  const child = spawn(process.execPath, [dbg, ...words], { stdio: 'ignore', detached: true });
  const url = `http://127.0.0.1:${port}/api/v1/nodes/${nodeName}/proxy/stats/summary`;
  const ask = async (): Promise<SummaryAnswer> => {
    const response = await fetch(url);
    const text = await response.text();
    if (!response.ok) throw new Error(`/stats/summary: ${response.status}: ${text}`);
    return JSON.parse(text) as SummaryAnswer;
  };
  await poll(() => ask().catch(() => undefined), { everyMs: 100, timeoutMs: 30_000, what: 'kubectl proxy' });
  return {
    ask,
    close(): void {
      if (child.pid !== undefined) process.kill(-child.pid);
    },
  };
}
