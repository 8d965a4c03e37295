import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { openHamlet } from './hamlet.js';

/** Who reads a pipe and splits it into lines. */
export interface Contender {
  readonly name: string;
  readonly pipe: string;
  /** CPU seconds that it has used so far. */
  cpuSeconds(): number;
  /** Ends work that goes on behind its reading, so that nobody else is measured beside it. */
  settle?(): Promise<void>;
  /** The part of the lines since the last call that it has on disk. */
  keptPart?(): Promise<number>;
  close(): Promise<void>;
}

/** Node's readline over a pipe that is opened by name, as it is for Hamlet. It keeps the last 5,000 lines, as all do. */
const readline = `
  const lines = [];
  const input = require('node:fs').createReadStream('', { fd: 0, highWaterMark: 65_536 });
  let count = 0;
  require('node:readline').createInterface({ input }).on('line', (line) => (lines[count++ % 5_000] = line));`;

/** The same over the pipe as the program's stdin, which libuv reads by itself. */
const readlineOfStdin = `
  const lines = [];
  const input = process.stdin;
  let count = 0;
  require('node:readline').createInterface({ input }).on('line', (line) => (lines[count++ % 5_000] = line));`;

const split2 = `
  const lines = [];
  let count = 0;
  process.stdin.pipe(require('split2')()).on('data', (line) => (lines[count++ % 5_000] = line));`;

/** Everyone who can be measured here; a program that is not installed is left out, by name. */
export async function openContenders(folder: string): Promise<{ all: Contender[]; missing: string[] }> {
  const reader = path.join(folder, 'reader');
  const source = new URL('../../../bench/logs/reader.c', import.meta.url).pathname;
  execFileSync('cc', ['-O2', '-o', reader, source]);
  const logs = (name: string): string => {
    const target = path.join(folder, `${name}.logs`);
    mkdirSync(target);
    return target;
  };
  const programs: readonly (readonly [string, readonly string[]])[] = [
    ['C reader', [reader]],
    ['s6-log', ['s6-log', 'n2', 's16777215', logs('s6-log')]],
    ['multilog', ['multilog', 'n2', 's16777215', logs('multilog')]],
    ['svlogd', ['svlogd', logs('svlogd')]],
    ['readline', [process.execPath, '-e', readline]],
    ['readline, stdin', [process.execPath, '-e', readlineOfStdin]],
    ['split2', [process.execPath, '-e', split2]],
  ];
  const all = [await openHamlet('hamlet', false), await openHamlet('hamlet on disk', true)];
  const missing: string[] = [];
  for (const [name, argv] of programs) {
    const found = argv[0]?.startsWith('/') === true || isInstalled(argv[0] ?? '');
    if (found) all.push(await openProgram(name, argv, folder));
    else missing.push(name);
  }
  return { all, missing };
}

async function openProgram(name: string, argv: readonly string[], folder: string): Promise<Contender> {
  const pipe = path.join(folder, `${name.replace(/\W+/g, '-')}.pipe`);
  execFileSync('mkfifo', [pipe]);
  const script = 'exec "$@" <>"$0"';
  const child = spawn('sh', ['-c', script, pipe, ...argv], { stdio: ['ignore', 'ignore', 'inherit'] });
  await once(child, 'spawn');
  return { name, pipe, cpuSeconds: () => cpuOf(child), close: () => end(child) };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

/** utime and stime of proc(5), in clock ticks of 10 ms. */
function cpuOf({ pid }: ChildProcess): number {
  const words = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(words[11]) + Number(words[12])) / 100;
}

function isInstalled(program: string): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v "$0"', program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
