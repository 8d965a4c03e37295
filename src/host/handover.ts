import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { HamletError, messageOf } from '../lib/errors.js';
import { exitCodes } from './exit.js';
import { readUpgrade, writeUpgrade, type Program } from './upgrade-file.js';

/**
 * A new version may need so long from its exec until its workers are started, in milliseconds. One that checks the
 * components for the first time takes seconds on a slow machine.
 */
const successorTimeoutMs = 120_000;

/** Set for a process that was started by its predecessor, which waits for it. */
const variable = 'HAMLET_SUCCESSOR';

/** How a run of the node came to its end: everything has stopped, or all that runs was left to a successor. */
export type Outcome = 'stopped' | 'left';

export interface HandoverOptions {
  /** Runs the node until it is to stop, or until `leave` is aborted. To call `running` when it is up. */
  readonly run: (leave: AbortSignal, running: () => void) => Promise<Outcome>;
  /** Where `hamlet upgrade` says what comes next. */
  readonly file: string;
  readonly stop: AbortSignal;
}

/**
 * Runs the node through any number of upgrades, and gives the exit code. On SIGHUP the node is left as it is, a new
 * version of Hamlet is started as a child of this process, and goes on with it. This process waits for its end and
 * hands signals on: so its pid stays the one that init knows, and when the new version does not come up, the old one is
 * still there and goes on itself.
 */
export async function runWithUpgrades({ run, file, stop }: HandoverOptions): Promise<number> {
  let program: Program = { node: process.execPath, main: process.argv[1] ?? '' };
  // Without a listener it would end this process at times when nobody else listens.
  process.on('SIGHUP', () => undefined);
  for (;;) {
    const outcome = await runUntilHangup(run);
    if (outcome === 'stopped') return exitCodes.ok;
    // Whoever has started this one starts the next.
    if (process.env[variable] !== undefined) return exitCodes.handover;
    for (let failed = false; !failed;) {
      const asked = readUpgrade(file);
      const next = asked?.outcome === null ? asked.program : program;
      const end = await runSuccessor(next, stop, () => {
        program = next;
        settle(file, next, 'runs', '');
      });
      if (end.kind === 'ended') {
        if (end.code !== exitCodes.handover) return end.code;
        continue;
      }
      failed = true;
      settle(file, next, 'failed', end.message);
      process.stderr.write(`hamlet: ${next.main} ${end.message}; the version that ran before goes on\n`);
      if (stop.aborted) return exitCodes.failure;
    }
  }
}

async function runUntilHangup(run: HandoverOptions['run']): Promise<Outcome> {
  const leave = new AbortController();
  const onLeave = () => leave.abort(new HamletError('CANCELLED', 'left to the next version'));
  process.on('SIGHUP', onLeave);
  // The process that init knows is gone: what init starts instead takes over.
  process.on('disconnect', onLeave);
  try {
    return await run(leave.signal, () => process.send?.('running'));
  } catch (error) {
    if (leave.signal.aborted && error === leave.signal.reason) return 'left';
    throw error;
  } finally {
    process.off('SIGHUP', onLeave);
    process.off('disconnect', onLeave);
  }
}

type End =
  { readonly kind: 'ended'; readonly code: number } | { readonly kind: 'failed'; readonly message: string };

async function runSuccessor(program: Program, stop: AbortSignal, onRunning: () => void): Promise<End> {
  const child = spawn(program.node, [...process.execArgv, program.main, ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [variable]: '1' },
  });
  const onStop = () => child.kill('SIGTERM');
  const onHangup = () => child.kill('SIGHUP');
  stop.addEventListener('abort', onStop, { once: true });
  if (stop.aborted) onStop();
  const seen = { running: false };
  const timer = setTimeout(() => child.kill('SIGKILL'), successorTimeoutMs);
  child.once('message', () => {
    seen.running = true;
    clearTimeout(timer);
    // Before that it would end the new one.
    process.on('SIGHUP', onHangup);
    onRunning();
  });
  try {
    const code = await exitOf(child);
    if (seen.running || code === exitCodes.handover || (stop.aborted && code === exitCodes.ok))
      return { kind: 'ended', code };
    return { kind: 'failed', message: `could not start: it ended with exit code ${code}` };
  } catch (error) {
    return { kind: 'failed', message: `could not be executed: ${messageOf(error)}` };
  } finally {
    clearTimeout(timer);
    stop.removeEventListener('abort', onStop);
    process.off('SIGHUP', onHangup);
  }
}

/** Its exit code, or 128 + n when signal n ended it, as shells have it. Throws when it could not be executed. */
function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      resolve(signal === null ? (code ?? exitCodes.failure) : 128 + constants.signals[signal]);
    });
  });
}

function settle(file: string, program: Program, outcome: 'runs' | 'failed', message: string): void {
  try {
    writeUpgrade(file, { program, outcome, message });
  } catch {
    // Whoever waits for it has a deadline; the node is more important.
  }
}
