import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { HamletError, messageOf } from '../lib/errors.js';
import { sendSignal } from '../platform/process.js';

/** How many of a failed command's last lines its error shows. */
const tailLines = 15;
/** How long a command may take to stop when it was told to. */
const stopPatienceMs = 5_000;
/** util-linux, on every Debian: ends a command whose parent was killed, so that no build outlives its run. */
const setpriv = '/usr/bin/setpriv';

/** What setpriv and shells exit with when there is no such program. */
const notFoundExitCode = 127;

export type Command = readonly [string, ...string[]];

export interface CommandOptions {
  readonly signal: AbortSignal;
  readonly cwd?: string;
  /** The whole environment; without it a small fixed one. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called for each line of output as it comes. */
  readonly onLine?: (line: string) => void;
  /** What a person can do when the command fails; ends the error's message. */
  readonly advice?: string;
  /** Lets the command finish when the signal comes: what it does must not be cut in half. */
  readonly finish?: boolean;
}

/** Nothing of the caller's environment reaches a build but the way to the network. */
export function commandEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const env: Record<string, string> = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    LC_ALL: 'C.UTF-8',
    DEBIAN_FRONTEND: 'noninteractive',
  };
  for (const name of ['http_proxy', 'https_proxy', 'no_proxy', 'TMPDIR']) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return { ...env, ...more };
}

/**
 * Runs a command in its own process group and gives its standard output.
 * Throws ABORTED with the last lines of its output when it fails, NOT_FOUND when there is no such program, and the
 * signal's reason, after the whole group has ended, when it is aborted.
 */
export async function runCommand(command: Command, options: CommandOptions): Promise<string> {
  const { signal } = options;
  signal.throwIfAborted();
  const [program, ...args] =
    !options.finish && existsSync(setpriv)
      ? ([setpriv, '--pdeathsig', 'TERM', '--', ...command] as const)
      : command;
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: options.env ?? commandEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });

  const stdout: string[] = [];
  const tail: string[] = [];
  const onLine = (line: string) => {
    if (line.trim() !== '') tail.push(line);
    if (tail.length > tailLines) tail.shift();
    options.onLine?.(line);
  };
  const stdoutLines = lineSplitter(onLine);
  const stderrLines = lineSplitter(onLine);
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout.push(text);
    stdoutLines.push(text);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => stderrLines.push(text));

  let killTimer: NodeJS.Timeout | undefined;
  const stop = () => {
    if (child.pid === undefined) return;
    const group = -child.pid;
    sendSignal(group, 'SIGTERM');
    killTimer = setTimeout(() => sendSignal(group, 'SIGKILL'), stopPatienceMs);
  };
  if (!options.finish) signal.addEventListener('abort', stop, { once: true });
  try {
    const end = await new Promise<{ code: number | null; killedBy: NodeJS.Signals | null }>(
      (resolve, reject) => {
        child.once('error', reject);
        child.once('close', (code, killedBy) => resolve({ code, killedBy }));
      },
    );
    stdoutLines.end();
    stderrLines.end();
    signal.throwIfAborted();
    if (end.code === 0) return stdout.join('');
    if (end.code === notFoundExitCode) throw notFound(command, tail.join(' '));
    throw failure(command, describeEnd(end), tail, options.advice);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw notFound(command, messageOf(error));
    }
    throw error;
  } finally {
    clearTimeout(killTimer);
    signal.removeEventListener('abort', stop);
  }
}

function notFound(command: Command, reason: string): HamletError {
  return new HamletError('NOT_FOUND', `${command[0]} cannot be started: ${reason}`);
}

function failure(command: Command, end: string, tail: readonly string[], advice?: string): HamletError {
  const output = tail.map((line) => `  | ${line}`).join('\n');
  const parts = [`${command.slice(0, 3).join(' ')} ${end}`, output, advice ?? ''];
  return new HamletError('ABORTED', parts.filter((part) => part !== '').join('\n'), {
    details: { command: command.join(' '), end },
  });
}

function describeEnd(end: { code: number | null; killedBy: NodeJS.Signals | null }): string {
  if (end.killedBy === 'SIGKILL') return 'was killed (SIGKILL); perhaps the machine ran out of memory';
  if (end.killedBy !== null) return `was ended by ${end.killedBy}`;
  return `ended with exit code ${end.code ?? 'unknown'}`;
}

/** Cuts text that comes in arbitrary pieces into lines; a carriage return ends one too (progress displays). */
function lineSplitter(onLine: (line: string) => void) {
  let rest = '';
  return {
    push(text: string): void {
      const lines = (rest + text).split(/\r?\n|\r/);
      rest = lines.pop() ?? '';
      lines.forEach(onLine);
    },
    end(): void {
      if (rest !== '') onLine(rest);
      rest = '';
    },
  };
}
