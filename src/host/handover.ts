import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { HamletError, messageOf } from '../lib/errors.js';
import { exitCodes } from './exit.js';
import { atUsualPriority } from './priority.js';
import {
  becomeIndependent,
  isSuccessor,
  successorVariable,
  tellPredecessor,
  type SuccessorFailure,
  type SuccessorMessage,
} from './successor.js';
import { readUpgrade, writeUpgrade, type Program } from './upgrade-file.js';

/**
 * A new version may need so long from its exec until its workers are started, in milliseconds. One that checks the
 * components for the first time takes seconds on a slow machine.
 */
const successorTimeoutMs = 120_000;

/** What it is told when the predecessor waits no longer, because init watches the new process itself. */
const onItsOwn = 'on its own';

/** How many lines of what a successor says of its failure are kept: an error and its stack. */
const maxLines = 10;

/** How a run of the node came to its end: everything has stopped, or all that runs was left to a successor. */
export type Outcome = 'stopped' | 'left';

export interface HandoverOptions {
  /**
   * Runs the node until it is to stop, or until `leave` is aborted. To call `running` when it is up. `failure` is why it
   * runs once more, if a successor could not.
   */
  readonly run: (leave: AbortSignal, running: () => void, failure?: SuccessorFailure) => Promise<Outcome>;
  /** Where `hamlet upgrade` says what comes next. */
  readonly file: string;
  readonly stop: AbortSignal;
  /** Makes another process the one that init watches; undefined where that cannot be. */
  readonly passOn?: ((pid: number) => Promise<void>) | undefined;
}

/**
 * Runs the node through any number of upgrades, and gives the exit code. On SIGHUP the node is left as it is, a new
 * version of Hamlet is started as a child of this process, and goes on with it. When the new version does not come up,
 * the old one is still there and goes on itself. When it does, and init can be told to watch the new process instead,
 * this one ends. Under other inits it waits for the end of the new one and hands signals on, so that its pid stays the
 * one that init knows.
 */
export async function runWithUpgrades({ run, file, stop, passOn }: HandoverOptions): Promise<number> {
  let program: Program = { node: process.execPath, main: process.argv[1] ?? '' };
  // Without a listener it would end this process at times when nobody else listens.
  process.on('SIGHUP', () => undefined);
  let failure: SuccessorFailure | undefined;
  for (;;) {
    const outcome = await runUntilHangup(run, failure);
    failure = undefined;
    if (outcome === 'stopped') return exitCodes.ok;
    // Whoever has started this one starts the next.
    if (isSuccessor()) return exitCodes.handover;
    while (failure === undefined) {
      const asked = readUpgrade(file);
      const next = asked?.outcome === null ? asked.program : program;
      const end = await runSuccessor(next, stop, passOn, () => {
        program = next;
        settle(file, next, 'runs', '');
      });
      switch (end.kind) {
        case 'passed on':
          return exitCodes.ok;
        case 'ended':
          if (end.signal !== null) {
            process.stderr.write(
              `hamlet: ${program.main}, which ran the node, was killed by ${end.signal}\n`,
            );
          }
          if (end.code !== exitCodes.handover) return end.code;
          break;
        case 'failed':
          failure = { ...end.failure, message: `${next.main} ${end.failure.message}` };
          settle(file, next, 'failed', withReason(end.failure));
          process.stderr.write(`hamlet: ${failure.message}; the version that ran before goes on\n`);
          if (stop.aborted) return exitCodes.failure;
          break;
        default:
          end satisfies never;
      }
    }
  }
}

async function runUntilHangup(
  run: HandoverOptions['run'],
  failure: SuccessorFailure | undefined,
): Promise<Outcome> {
  const leave = new AbortController();
  const onLeave = () => leave.abort(new HamletError('CANCELLED', 'left to the next version'));
  process.on('SIGHUP', onLeave);
  // The process that init knows is gone: what init starts instead takes over.
  process.on('disconnect', onLeave);
  const onMessage = (message: unknown) => {
    if (message !== onItsOwn) return;
    becomeIndependent();
    process.off('disconnect', onLeave);
  };
  process.on('message', onMessage);
  try {
    return await run(leave.signal, () => tellPredecessor({ kind: 'running' }), failure);
  } catch (error) {
    if (leave.signal.aborted && error === leave.signal.reason) return 'left';
    throw error;
  } finally {
    process.off('SIGHUP', onLeave);
    process.off('disconnect', onLeave);
    process.off('message', onMessage);
  }
}

type End =
  | { readonly kind: 'passed on' }
  | { readonly kind: 'ended'; readonly code: number; readonly signal: NodeJS.Signals | null }
  | { readonly kind: 'failed'; readonly failure: SuccessorFailure };

async function runSuccessor(
  program: Program,
  stop: AbortSignal,
  passOn: HandoverOptions['passOn'],
  onRunning: () => void,
): Promise<End> {
  const args = [...process.execArgv, program.main, ...process.argv.slice(2)];
  const child = atUsualPriority(() =>
    spawn(program.node, args, {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, [successorVariable]: '1' },
    }),
  );
  const onStop = () => child.kill('SIGTERM');
  const onHangup = () => child.kill('SIGHUP');
  stop.addEventListener('abort', onStop, { once: true });
  if (stop.aborted) onStop();
  const seen: { running: boolean; lines: readonly string[] } = { running: false, lines: [] };
  const timer = setTimeout(() => child.kill('SIGKILL'), successorTimeoutMs);
  const passedOn = new Promise<'passed on'>((resolve) => {
    child.on('message', (message: SuccessorMessage) => {
      if (message.kind === 'failed') {
        seen.lines = message.lines.slice(0, maxLines);
        return;
      }
      seen.running = true;
      clearTimeout(timer);
      // Before that it would end the new one.
      process.on('SIGHUP', onHangup);
      void release(child, passOn).then((isReleased) => {
        onRunning();
        if (isReleased) resolve('passed on');
      });
    });
  });
  try {
    const exit = await Promise.race([exitOf(child), passedOn]);
    if (exit === 'passed on') return { kind: exit };
    const { code, signal } = exit;
    // 128 + n when signal n ended it, as shells have it.
    const status = signal === null ? (code ?? exitCodes.failure) : 128 + constants.signals[signal];
    if (seen.running || code === exitCodes.handover || (stop.aborted && code === exitCodes.ok))
      return { kind: 'ended', code: status, signal };
    const how = signal === null ? `ended with exit code ${status}` : `was killed by ${signal}`;
    const message = `could not take over: it ${how}`;
    return { kind: 'failed', failure: { message, code, signal, lastLines: seen.lines } };
  } catch (error) {
    const message = `could not be executed: ${messageOf(error)}`;
    return { kind: 'failed', failure: { message, code: null, signal: null, lastLines: [] } };
  } finally {
    clearTimeout(timer);
    stop.removeEventListener('abort', onStop);
    process.off('SIGHUP', onHangup);
  }
}

/** Has init watch the new process. Gives whether this one may end. */
async function release(child: ChildProcess, passOn: HandoverOptions['passOn']): Promise<boolean> {
  if (passOn === undefined || child.pid === undefined) return false;
  try {
    await passOn(child.pid);
  } catch (error) {
    process.stderr.write(`hamlet: init still watches process ${process.pid}: ${messageOf(error)}\n`);
    return false;
  }
  // From here on it must not take the end of this process for the end of the service.
  return new Promise((resolve) => child.send(onItsOwn, (error) => resolve(error === null)));
}

interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** How it ended, once all that it said has come here. Throws when it could not be executed. */
async function exitOf(child: ChildProcess): Promise<Exit> {
  const silent = new Promise<void>((resolve) => child.once('disconnect', resolve));
  const exit = await new Promise<Exit>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  if (child.connected) await silent;
  return exit;
}

/** For whoever has asked for the successor, and does not see what it printed. */
function withReason({ message, lastLines: [first = ''] }: SuccessorFailure): string {
  return first === '' ? message : `${message}: ${first.replace(/^hamlet: /, '')}`;
}

function settle(file: string, program: Program, outcome: 'runs' | 'failed', message: string): void {
  try {
    writeUpgrade(file, { program, outcome, message });
  } catch {
    // Whoever waits for it has a deadline; the node is more important.
  }
}
