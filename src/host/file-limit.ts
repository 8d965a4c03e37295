import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { messageOf } from '../lib/errors.js';
import type { Log } from '../lib/log.js';

/**
 * How many files a process of the node should be able to have open: what containerd's own unit gives to it, and through
 * it to the pods (containerd.service of containerd 1.6). Debian's kernel allows so many (fs.nr_open).
 */
const wantedFiles = 1_048_576;

/**
 * Raises the limit of open files, which everything has that is started from now on, as far as the machine allows, and
 * logs how far that was. Node.js itself raises it to the hard limit at its start; that one is raised by util-linux'
 * prlimit, which takes CAP_SYS_RESOURCE.
 */
export async function raiseFileLimit(log: Log): Promise<void> {
  const most = Math.min(wantedFiles, Number(readFileSync('/proc/sys/fs/nr_open', 'latin1')));
  let problem = most < wantedFiles ? `fs.nr_open of this machine is ${most}` : undefined;
  if (fileLimit() < most) {
    try {
      await promisify(execFile)('prlimit', ['--pid', String(process.pid), `--nofile=${most}:${most}`]);
    } catch (error) {
      problem = messageOf(error).trim().split('\n').at(-1);
    }
  }
  const files = fileLimit();
  if (problem === undefined) log.info({ files }, `up to ${files} files may be open`);
  else log.warn({ files }, `only up to ${files} files may be open, and not ${wantedFiles}: ${problem}`);
}

/** The soft limit of this process (proc(5)). */
function fileLimit(): number {
  const soft = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
  return soft === 'unlimited' ? Infinity : Number(soft);
}
