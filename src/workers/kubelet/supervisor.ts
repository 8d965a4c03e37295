import type { Client } from '../../ipc/contract.js';
import { deferred } from '../../ipc/deferred.js';
import type { certs, CredentialFile } from '../../ipc/services/certs.js';
import type { Child, host, SpawnRequest } from '../../ipc/services/host.js';
import { HamletError, isHamletError, messageOf } from '../../lib/errors.js';
import type { Logger } from 'pino';
import { deadline } from '../../lib/time.js';
import { ageMs } from '../../platform/process.js';
import { runPaths } from '../../platform/paths.js';
import type { Action, State } from '../../supervision/state.js';
import { Tree } from '../../supervision/tree.js';
import { causeOf, startFailure } from './reporting.js';
import { digestOf, writeConfiguration, type Command, type Component, type Context } from './component.js';
import type { KeptCredentials } from './kept-credentials.js';
import { Probing } from './probing.js';
import type { RestartReport } from './restart-report.js';
import { isRestarted, StandingStarts } from './standing-starts.js';
import { StartCredentials } from './start-credentials.js';
import { StateReport } from './state-report.js';
import { Waits } from './waits.js';

/** What comes before a start (credentials, the first import of the images) may take so long, in milliseconds. */
const prepareTimeoutMs = 600_000;

export interface SupervisorOptions {
  readonly context: Context;
  readonly components: readonly Component[];
  readonly kept: KeptCredentials;
  readonly host: Client<typeof host>;
  readonly certs: Client<typeof certs>;
  readonly log: Logger;
  readonly restarts: RestartReport;
  /** Called with each change of a component's state. */
  readonly onState: (name: string, state: State) => void;
}

/**
 * Carries out what the tree decides: asks the main thread for processes, probes them, and tells the tree what became
 * of them. All that it knows can be found again: a new one goes on with whatever the main thread says is running.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #components: ReadonlyMap<string, Component>;
  readonly #tree: Tree;
  readonly #probing = new Probing({
    onAnswer: ({ name }, answer) => {
      this.#handle({ kind: 'probe', name, ...answer });
      return this.#tree.state(name).kind === 'healthy';
    },
  });
  readonly #standing: StandingStarts;
  readonly #credentials: StartCredentials;
  readonly #states: StateReport;
  /** What the main thread has started again by itself, until the tree has said what is to become of it. */
  readonly #restarted = new Set<string>();
  readonly #killed: string[] = [];
  /** Names whose start is under way: not yet a child, no longer a decision. */
  readonly #starts = new Map<string, AbortController>();
  readonly #waits = new Waits((name) => this.#reportWaits(name));
  /** What runs by the table of children; the end of each of these will be told. */
  readonly #running = new Set<string>();
  /** Resolved when the table has been seen for the first time. */
  readonly #known = deferred<undefined>();
  #stopping = false;
  /** Aborted when this supervisor is over and the components are the next one's. */
  readonly #retired = new AbortController();
  #wake: NodeJS.Timeout | undefined;
  #idle: (() => void) | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#components = new Map(options.components.map((component) => [component.name, component]));
    this.#tree = new Tree(options.components, Math.random);
    this.#standing = new StandingStarts(options.host, options.log);
    this.#credentials = new StartCredentials(options);
    this.#states = new StateReport(options, this.#waits, this.#retired.signal);
  }

  /** Follows the table of children until the signal is aborted, and brings everything up meanwhile. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      for await (const { children, snapshot } of this.#options.host.children({}, { signal })) {
        for (const child of children) this.#seen(child, snapshot, isRestarted(child, children));
        if (!snapshot) continue;
        this.#known.resolve(undefined);
        this.#handle({ kind: 'tick' });
      }
    } finally {
      this.#retire();
    }
  }

  /** Leaves everything as it is, for the next supervisor. */
  #retire(): void {
    this.#retired.abort();
    clearTimeout(this.#wake);
    for (const start of this.#starts.values()) start.abort();
    this.#probing.close();
    this.#standing.close();
  }

  /** Stops everything in reverse order. Resolves when all is gone, with the names of what had to be killed. */
  async stop(): Promise<readonly string[]> {
    // Before that, nothing would seem to run.
    await this.#known.promise;
    this.#stopping = true;
    this.#standing.close();
    for (const start of this.#starts.values()) start.abort();
    const gone = new Promise<void>((resolve) => (this.#idle = resolve));
    this.#handle({ kind: 'stop' });
    await gone;
    clearTimeout(this.#wake);
    return this.#killed;
  }

  isStarting(name: string): boolean {
    return this.#tree.state(name).kind === 'starting';
  }

  /** Ends a component that has old credentials, and starts it with new ones. Nothing happens to one that does not run. */
  restart(name: string): void {
    this.#handle({ kind: 'outdated', name, what: 'credentials' });
  }

  #seen(child: Child, snapshot: boolean, restarted: boolean): void {
    const { name, exit } = child;
    const { restarts } = this.#options;
    if (!this.#components.has(name)) return;
    if (exit === null) {
      this.#running.add(name);
      if (snapshot) this.#adopt(child);
      return;
    }
    this.#running.delete(name);
    if (snapshot && restarts.knows(child, exit)) return;
    restarts.ended(child, exit);
    if (restarted) this.#restarted.add(name);
    this.#handle({ kind: snapshot ? 'gone' : 'ended', name, cause: causeOf(exit) });
    // The tree did not want it back: everything is being stopped.
    if (this.#restarted.delete(name)) void this.#signal(name, 'SIGKILL');
  }

  /** What ran before this supervisor did is taken over as it is; its probe says whether it is any good. */
  #adopt({ name, startTicks, digest }: Child): void {
    this.#handle({ kind: 'adopted', name, ageMs: ageMs(startTicks) });
    let wanted: string;
    try {
      wanted = digestOf(this.#command(this.#component(name)));
    } catch (error) {
      // It could not be started again either.
      this.#options.log.error({ err: error }, `${name} is left as it is: ${messageOf(error)}`);
      return;
    }
    if (digest !== wanted) this.#handle({ kind: 'outdated', name, what: 'settings' });
  }

  #handle(event: Parameters<Tree['handle']>[0]): void {
    if (this.#retired.signal.aborted) return;
    const nowMs = performance.now();
    const actions = this.#tree.handle(event, nowMs);
    // Whoever follows the states hears of them before anything is done about them.
    this.#report(nowMs);
    for (const action of actions) this.#carryOut(action);
    this.#tend(nowMs);
    clearTimeout(this.#wake);
    const wakeMs = this.#tree.nextWakeMs();
    if (wakeMs !== undefined) {
      this.#wake = setTimeout(() => this.#handle({ kind: 'tick' }), Math.max(0, wakeMs - performance.now()));
    }
    if (this.#tree.stopped) this.#idle?.();
  }

  #carryOut(action: Action): void {
    const { name } = action;
    switch (action.kind) {
      case 'start':
        void this.#start(name);
        return;
      case 'terminate':
        this.#starts.get(name)?.abort();
        void this.#signal(name, 'SIGTERM');
        return;
      case 'kill':
        if (this.#stopping) this.#killed.push(name);
        this.#options.log.warn({ component: name }, `${name} is killed: ${action.why}`);
        void this.#signal(name, 'SIGKILL');
        return;
      default:
        return action satisfies never;
    }
  }

  async #start(name: string): Promise<void> {
    const abort = new AbortController();
    this.#starts.set(name, abort);
    try {
      await this.#execute(this.#component(name), abort.signal);
    } catch (error) {
      this.#starts.delete(name);
      this.#handle({ kind: 'ended', name, cause: startFailure(error) });
      return;
    }
    this.#starts.delete(name);
    this.#handle({ kind: 'executed', name });
    if (!abort.signal.aborted || this.#retired.signal.aborted) return;
    // It was to stop when there was nothing yet to be stopped.
    const state = this.#tree.state(name);
    await this.#signal(name, state.kind === 'stopping' && state.killed ? 'SIGKILL' : 'SIGTERM');
  }

  async #execute(component: Component, signal: AbortSignal): Promise<void> {
    const { name } = component;
    if (this.#restarted.delete(name)) return;
    using limit = deadline(prepareTimeoutMs, signal);
    const waitingFor = this.#waits.begin(name);
    const [files] = await Promise.all([
      this.#credentials.of(component, this.#isFirst(name), waitingFor, limit.signal),
      component.prepare(limit.signal, waitingFor),
    ]);
    signal.throwIfAborted();
    const command = this.#command(component);
    writeConfiguration(command);
    try {
      await this.#options.host.spawn(requestOf(name, command, files));
    } catch (error) {
      // The child of an answer that was lost on its way runs all the same; its probe will find it.
      if (!isHamletError(error, 'ALREADY_EXISTS')) throw error;
    }
  }

  #command(component: Component): Command {
    const command = component.command();
    const binDir = runPaths(this.#options.context.config.paths.run).bin;
    return { ...command, env: { PATH: binDir, HOME: '/root', LANG: 'C.UTF-8', ...command.env } };
  }

  /** Whether it has not run since this node was started, as far as anybody knows. */
  #isFirst(name: string): boolean {
    const state = this.#tree.state(name);
    return state.kind === 'starting' && state.cause === null;
  }

  async #signal(name: string, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    try {
      await this.#options.host.signal({ name, signal });
    } catch (error) {
      if (this.#retired.signal.aborted) return;
      if (!isHamletError(error, 'NOT_FOUND')) throw error;
      // The end of what ran is on its way, and a start that is given up ends by itself.
      if (this.#running.has(name) || this.#starts.has(name)) return;
      this.#handle({ kind: 'ended', name, cause: { kind: 'error', message: 'it did not run' } });
    }
  }

  /** Probes what is starting or healthy, and nothing else; asks in advance for the start of what has been well for long. */
  #tend(nowMs: number): void {
    for (const component of this.#components.values()) {
      const { name } = component;
      const state = this.#tree.state(name);
      const isExecuted = state.kind === 'starting' && !this.#starts.has(name);
      this.#probing.tend(component, isExecuted || state.kind === 'healthy');
      if (this.#stopping) continue;
      this.#standing.tend(component, state, nowMs, () => requestOf(name, this.#command(component), []));
    }
  }

  #report(nowMs: number): void {
    this.#states.changed(this.#components.values(), (name) => this.#tree.state(name), nowMs);
  }

  #reportWaits(name: string): void {
    // When the start goes on, or has failed, the new state says all there is to say.
    if (this.#starts.has(name))
      this.#states.waits(this.#component(name), this.#tree.state(name), performance.now());
  }

  #component(name: string): Component {
    const component = this.#components.get(name);
    if (component === undefined) throw new HamletError('NOT_FOUND', `there is no component ${name}`);
    return component;
  }
}

function requestOf(name: string, command: Command, secrets: readonly CredentialFile[]): SpawnRequest {
  const { argv, cwd, env, stale = [] } = command;
  return {
    name,
    argv: [...argv],
    cwd,
    env: { ...env },
    secrets: [...secrets],
    stale: [...stale],
    digest: digestOf(command),
  };
}
