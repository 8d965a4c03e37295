import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Test } from 'tap';
import { BootTimeline } from '../../../src/host/boot.js';
import { Children } from '../../../src/host/children.js';
import { ConditionBoard } from '../../../src/host/conditions.js';
import { History } from '../../../src/host/history.js';
import { Router } from '../../../src/host/router.js';
import { Secrets } from '../../../src/host/secrets.js';
import { hostHandlers } from '../../../src/host/service.js';
import { client } from '../../../src/ipc/client.js';
import { connect } from '../../../src/ipc/connection.js';
import { serve } from '../../../src/ipc/server.js';
import { certs } from '../../../src/ipc/services/certs.js';
import { host, type Child } from '../../../src/ipc/services/host.js';
import { allConditionNames, type ComponentName } from '../../../src/lib/names.js';
import { poll } from '../../../src/lib/time.js';
import { sendSignal } from '../../../src/platform/process.js';
import { NodeKeySealer } from '../../../src/platform/sealer.js';
import type { State } from '../../../src/supervision/state.js';
import type { Component } from '../../../src/workers/kubelet/component.js';
import { KeptCredentials } from '../../../src/workers/kubelet/kept-credentials.js';
import { RestartReport } from '../../../src/workers/kubelet/restart-report.js';
import { Supervisor } from '../../../src/workers/kubelet/supervisor.js';
import { optionsIn } from '../../unit/host/children-fixture.js';
import { makeContext } from '../../unit/kubelet/context.js';
import { silent } from '../fixtures/mesh.js';

/** What a test changes of a component: its policy, and what its script does instead of heeding SIGTERM. */
export interface ScriptOptions extends Partial<Omit<Component, 'name'>> {
  readonly onTerm?: string;
}

/** The main thread's side: the mesh, the table of children and the board, all real; the children are shell scripts. */
export class Host {
  readonly children: Children;
  readonly board = new ConditionBoard(allConditionNames, Date.now());
  readonly history: History;
  readonly boot = new BootTimeline(this.board, new AbortController().signal);
  readonly folder: string;
  readonly kept: KeptCredentials;
  readonly #router: Router;
  readonly #supervisors: { readonly stop: AbortController; readonly done: Promise<unknown> }[] = [];

  private constructor(folder: string, router: Router) {
    this.folder = folder;
    this.children = new Children(optionsIn(folder));
    const sealer = new NodeKeySealer(randomBytes(32));
    this.kept = new KeptCredentials({ folder, sealer, facts: [], now: Date.now });
    this.history = new History(path.join(folder, 'restarts.jsonl'));
    this.#router = router;
  }

  static async start(t: Test): Promise<Host> {
    const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-'));
    const router = await Router.listen({
      path: path.join(folder, 'mesh', 'router.sock'),
      endpoints: [
        { name: 'main', serves: [host] },
        { name: 'kubelet', calls: [host] },
      ],
      log: silent,
    });
    const self = new Host(folder, router);
    const connection = await connect({
      path: router.path,
      name: 'main',
      secret: router.admit('main'),
      log: silent,
    });
    const { children, board, history, boot } = self;
    const secrets = new Secrets(path.join(folder, 'secrets'));
    serve(
      connection,
      host,
      hostHandlers({
        children,
        secrets,
        board,
        history,
        boot,
        bin: folder,
        components: () => undefined,
        verified: async () => {},
      }),
    );
    t.teardown(async () => {
      await self.#endSupervisors();
      for (const { pid, exit } of children.all) if (exit === null) sendSignal(-pid, 'SIGKILL');
      await connection.close();
      await router.close();
      rmSync(folder, { recursive: true });
    });
    return self;
  }

  /** Replaces the supervisor that runs, if one does, as a new kubelet worker would. */
  async supervise(components: readonly Component[]) {
    await this.#endSupervisors();
    const stop = new AbortController();
    const { path: socket } = this.#router;
    const secret = this.#router.admit('kubelet');
    const connection = await connect({ path: socket, name: 'kubelet', secret, log: silent });
    const states: string[] = [];
    const hostClient = client(connection, host);
    const restarts = new RestartReport({
      host: hostClient,
      logs: { tail: () => this.#lines() },
      needs: new Map(components.map(({ name, needs }) => [name, needs])),
      open: this.history.open(components.map(({ name }) => name)),
      log: silent,
      signal: stop.signal,
    });
    const supervisor = new Supervisor({
      restarts,
      kept: this.kept,
      context: makeContext({ settings: { paths: { state: this.folder, run: this.folder } } }),
      components,
      host: hostClient,
      certs: client(connection, certs),
      log: silent,
      onState: (name: string, { kind }: State) => states.push(`${name} ${kind}`),
    });
    const run = supervisor.run(stop.signal).catch(() => undefined);
    this.#supervisors.push({ stop, done: run.then(() => connection.close()) });
    return { supervisor, states };
  }

  /** What the scripts have written last; the logs worker is not a part of this. */
  async *#lines() {
    const data = Buffer.from('last words');
    const line = { component: 'etcd', sequence: 1, atMs: 0, source: 'stdout' as const, data };
    yield { lines: [1, 2, 3].map((run) => ({ ...line, run })) };
  }

  async #endSupervisors(): Promise<void> {
    for (const { stop, done } of this.#supervisors.splice(0)) {
      stop.abort();
      await done;
    }
  }

  /** A script that says in a common file when it starts and stops, and goes on counting while it is alive. */
  component(name: ComponentName, needs: readonly string[] = [], options: ScriptOptions = {}): Component {
    const { onTerm = `echo stop ${name} >> log; exit 0`, ...overrides } = options;
    const text = `trap '${onTerm}' TERM; echo start ${name} >> log; while :; do echo $((i += 1)) > ${name}.beat; sleep 0.02; done`;
    return {
      name,
      needs,
      credentials: 'none',
      startTimeoutMs: 10_000,
      stopPatienceMs: 10_000,
      failureThreshold: 2,
      probePeriodMs: 20,
      probeTimeoutMs: 500,
      prepare: () => undefined,
      command: () => ({ argv: ['/bin/sh', '-c', text], cwd: this.folder, env: { PATH: '/bin:/usr/bin' } }),
      probe: (signal) => this.#beats(name, signal),
      ...overrides,
    };
  }

  /** Waits until a script counts on: only one that is really running does. */
  async #beats(name: string, signal: AbortSignal): Promise<void> {
    const before = this.#read(`${name}.beat`);
    const what = `a beat of ${name}`;
    await poll(() => this.#read(`${name}.beat`) !== before || undefined, {
      everyMs: 5,
      timeoutMs: 60_000,
      signal,
      what,
    });
  }

  /** What the scripts have said so far. */
  get log(): string[] {
    return this.#read('log')
      .split('\n')
      .filter((line) => line !== '');
  }

  child(name: string): Child {
    const child = this.children.all.find((one) => one.name === name);
    if (child === undefined) throw new Error(`${name} was never started`);
    return child;
  }

  /** Waits until the board says that all of these are healthy, in at least this run. */
  async healthy(names: readonly string[], run = 1): Promise<void> {
    const isHealthy = (name: string) => this.board.get(name).status === 'true' && this.child(name).run >= run;
    await this.until(`${names.join(', ')} healthy`, () => names.every(isHealthy));
  }

  async until(what: string, probe: () => boolean): Promise<void> {
    try {
      await poll(() => probe() || undefined, { everyMs: 5, timeoutMs: 20_000, what });
    } catch (cause) {
      throw new Error(JSON.stringify(this.board.all.filter(({ reason }) => reason !== 'NotReported')), {
        cause,
      });
    }
  }

  #read(name: string): string {
    const file = path.join(this.folder, name);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }
}
