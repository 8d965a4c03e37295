import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { HamletError } from '../lib/errors.js';

/** Ctrl-C and Ctrl-\: the terminal sends them to every process in the foreground by itself. */
const terminalSignals = ['SIGINT', 'SIGQUIT'] as const;
const otherSignals = ['SIGTERM', 'SIGHUP'] as const;

/** Takes the signals that would end this program and hands them to a child, until it is disposed. */
export class SignalRelay {
  #child: ChildProcess | undefined;
  readonly #pending: NodeJS.Signals[] = [];

  constructor() {
    for (const signal of terminalSignals) process.on(signal, this.#fromTerminal);
    for (const signal of otherSignals) process.on(signal, this.#relay);
  }

  /** Hands the signals to this child from now on, those that came before it too. */
  attach(child: ChildProcess): void {
    this.#child = child;
    for (const signal of this.#pending.splice(0)) child.kill(signal);
  }

  [Symbol.dispose](): void {
    for (const signal of terminalSignals) process.off(signal, this.#fromTerminal);
    for (const signal of otherSignals) process.off(signal, this.#relay);
  }

  readonly #relay = (signal: NodeJS.Signals): void => {
    if (this.#child === undefined) this.#pending.push(signal);
    else this.#child.kill(signal);
  };

  readonly #fromTerminal = (signal: NodeJS.Signals): void => {
    // The child has it already, and a second Ctrl-C means more to some programs than the first.
    if (this.#child !== undefined && inForeground()) return;
    this.#relay(signal);
  };
}

/**
 * Runs a program on this one's own stdin, stdout, stderr and terminal. Gives its exit code, or 128 + n when signal n
 * ended it. Throws NOT_FOUND when there is no such program, FAILED_PRECONDITION when it cannot be run.
 */
export async function runInForeground(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  signals: SignalRelay,
): Promise<number> {
  const child = spawn(program, args, { stdio: 'inherit', env });
  signals.attach(child);
  return new Promise((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) => {
      const code = cause.code === 'ENOENT' ? 'NOT_FOUND' : 'FAILED_PRECONDITION';
      reject(new HamletError(code, `cannot run ${program}`, { cause }));
    });
    child.once('exit', (code, signal) => {
      resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]);
    });
  });
}

/** Whether this process is in the group that its terminal sends Ctrl-C to (proc(5): pgrp and tpgid). */
function inForeground(): boolean {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  // The program's name, in parentheses, may have spaces in it.
  const [, , group, , , foregroundGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return group === foregroundGroup;
}
