import { rmSync } from 'node:fs';
import path from 'node:path';
import { componentNames, type WorkerName } from '../lib/names.js';
import { HamletError, messageOf } from '../lib/errors.js';
import { ensureFolder } from '../lib/files.js';
import { abortable } from '../lib/time.js';
import { deferred } from '../ipc/deferred.js';
import { connect } from '../ipc/connection.js';
import { serve } from '../ipc/server.js';
import { certs } from '../ipc/services/certs.js';
import { host, type Condition } from '../ipc/services/host.js';
import { kubelet } from '../ipc/services/kubelet.js';
import { logs } from '../ipc/services/logs.js';
import type { Components } from '../platform/components.js';
import type { Config } from '../platform/config.js';
import { takeLock } from '../platform/lock.js';
import { derivedKey, loadNodeIdentity, tracesOfKey } from '../platform/node-identity.js';
import { etcdSocket, historyFile, runPaths } from '../platform/paths.js';
import { checkPorts } from '../platform/preflight.js';
import { linkPrograms } from '../platform/programs.js';
import { firstAddress } from '../platform/addresses.js';
import { loadBridgeFilter, turnBridgeFilterOn } from './bridge-filter.js';
import { nameAppliance } from './appliance.js';
import { BootTimeline } from './boot.js';
import { Children } from './children.js';
import { ConditionBoard } from './conditions.js';
import { ConsoleReport } from './console.js';
import { killProcess } from './exit.js';
import { raiseFileLimit } from './file-limit.js';
import type { Outcome } from './handover.js';
import { GroupConditions } from './group-conditions.js';
import { History } from './history.js';
import { notifyInit } from './init-notify.js';
import { recordKill } from './kill-record.js';
import { watchMachine } from './machine-watch.js';
import { conditionsOf, membersOf } from './parts.js';
import { Pipes } from './pipes.js';
import { Router } from './router.js';
import { Secrets } from './secrets.js';
import { hostHandlers } from './service.js';
import type { SuccessorFailure } from './successor.js';
import { endTheRest, stopInOrder } from './stop-components.js';
import { recordSysctls } from './sysctls.js';
import { PreparedThread } from './threads.js';
import { waitForMachine } from './wait-for-machine.js';
import { Workers, type WorkersOptions } from './workers.js';

export interface NodeOptions {
  readonly config: Config;
  /** The worker threads' main files. */
  readonly workers: Readonly<Record<WorkerName, URL>>;
  /** Finds the component binaries; nothing of what was built here is run before `verify` has resolved. */
  readonly findComponents: (
    config: Config,
    signal: AbortSignal,
  ) => Promise<{ readonly components: Components; readonly verify: () => Promise<void> }>;
  /** When this run began, by performance.now(); with the process unless given. */
  readonly beganMs?: number;
  /** Aborted when everything is to stop. */
  readonly stop: AbortSignal;
  /** Aborted when this run is to end and leave all components to the next one. */
  readonly leave: AbortSignal;
  /** Why this run has come about, if it is because a successor could not take over. */
  readonly failure?: SuccessorFailure | undefined;
  /** Called when all parts of the node are started. */
  readonly onRunning: () => void;
}

/** How much a worker's heap may grow, in MB: a leak ends one thread, which is started again, and not the node. */
const maxHeapMb: Readonly<Record<WorkerName, number>> = {
  certs: 128,
  kubelet: 128,
  reconciler: 256,
  logs: 256,
  debug: 256,
};

/** How long the end waits for the history to be on the disk, in milliseconds. */
const historyPatienceMs = 5_000;

/** How long the pipes may keep what is written at the start, in milliseconds: they hold the first 64 KiB of each. */
const logsDelayMs = 1_000;

/** How long the certificates' thread waits for etcd's exec, in milliseconds: it has to be there when etcd serves. */
const etcdDelayMs = 500;
/** What a component's condition has for a reason before it is executed. */
const notOnItsWay: readonly string[] = ['NotReported', 'Waiting', 'Preparing'];

/** Who serves what on the mesh, and who may call whom. */
const endpoints = [
  { name: 'main', serves: [host], calls: [kubelet] },
  { name: 'certs', serves: [certs], calls: [host] },
  { name: 'kubelet', serves: [kubelet], calls: [host, certs, logs] },
  { name: 'reconciler', calls: [host, certs] },
  { name: 'logs', serves: [logs], calls: [host] },
  { name: 'debug', calls: [host, certs, logs] },
] as const;

/**
 * Runs the node until it is to stop, and then stops everything in order, or until it is to be left as it is.
 * Throws FAILED_PRECONDITION for what a person has to put right before a node can start here.
 */
export async function runNode(options: NodeOptions): Promise<Outcome> {
  const { config, stop, leave } = options;
  const signal = AbortSignal.any([stop, leave]);
  const run = runPaths(config.paths.run);
  ensureFolder(config.paths.run);
  ensureFolder(config.paths.state, 0o700);
  using lock = takeLock(run.lock, 'Hamlet runs');
  const programOf = (name: WorkerName) => ({
    name,
    url: options.workers[name],
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMb[name] },
    givesWay: name === 'logs',
  });
  // Debug calls are to be answered from early on: it loads while there is one processor that has nothing to do.
  using debugThread = config.debug.enabled ? new PreparedThread(programOf('debug')) : undefined;
  if (config.kubeProxy.enabled) loadBridgeFilter();
  recordSysctls(config);
  if (config.kubeProxy.enabled) turnBridgeFilterOn();

  const { state } = config.paths;
  const { maxDiskMb } = config.logs;
  const pipes = await Pipes.open({
    dir: run.pipes,
    startsFile: path.join(state, 'starts'),
    runsFile: path.join(state, 'runs.json'),
    ...(maxDiskMb > 0 && { segments: { dir: path.join(state, 'logs'), maxBytes: maxDiskMb * 2 ** 20 } }),
  });
  const log = pipes.log('hamlet');
  if (pipes.startProblem !== undefined) log.warn(pipes.startProblem);
  const board = new ConditionBoard(conditionsOf(config), Date.now());
  const boot = new BootTimeline(board, signal, options.beganMs);
  notifyInit({
    board,
    stop,
    over: signal,
    env: process.env,
    onError: (error) => log.warn({ err: error }, `init is not told how the node is: ${messageOf(error)}`),
  });
  const report = new ConsoleReport({ board, signal: stop, write: (text) => process.stdout.write(text) });
  const history = new History(historyFile(config.paths.state), log);
  new GroupConditions({ board, history, members: membersOf(config), log, signal });
  const secrets = new Secrets(run.secrets);
  const children = new Children({
    file: run.children,
    secrets,
    outputs: pipes,
    log,
  });
  const takeover = await children.takeOver(lock.wasLeft, signal);
  const { adopted, ended } = takeover;
  if (lock.wasLeft || options.failure !== undefined) {
    const isWell = recordKill(history, takeover, options.failure);
    void board.becomesTrue('NodeReady', signal).then((ready) => ready && isWell());
  }
  if (adopted.length > 0) report.note(`goes on with what runs already: ${adopted.join(', ')}`);
  if (adopted.length > 0) log.info({ adopted }, `goes on with what runs already: ${adopted.join(', ')}`);
  if (ended.length > 0) log.warn({ ended }, `ended what an earlier run left behind: ${ended.join(', ')}`);
  await checkPorts(config, adopted);

  const router = await Router.listen({ path: `${run.mesh}/router.sock`, endpoints, log });
  const connection = await connect({
    path: router.path,
    name: 'main',
    secret: router.admit('main'),
    log,
    signal,
  });
  let components: Components | undefined;
  const verified = deferred<undefined>();
  serve(
    connection,
    host,
    hostHandlers({
      children,
      secrets,
      board,
      history,
      boot,
      bin: run.bin,
      components: () => components,
      verified: () => verified.promise,
    }),
  );

  const supervision: WorkersOptions = {
    router,
    log,
    history,
    logOf: (name) => pipes.threadLog(`hamlet.${name}`),
    lastLines: (name) => pipes.lastLines(`hamlet.${name}`),
    onState: (name, state, message) => {
      const healthy = state.kind === 'healthy';
      const update = { name: `hamlet.${name}`, reason: healthy ? '' : state.kind, message } as const;
      board.set({ ...update, status: healthy ? 'true' : 'false' }, Date.now());
    },
    onHanging: (name) => {
      const why = `the thread ${name} has not ended when it was to, because it hangs in a system call`;
      // Init starts the next one, which goes on with all that runs.
      if (!signal.aborted) killProcess(why);
      hanging.abort(new HamletError('UNAVAILABLE', why));
    },
  };
  const hanging = new AbortController();
  const workers = new Workers(supervision);
  // It ends last: what all others say until their end is kept.
  const logKeeper = new Workers(supervision);
  const start = (name: WorkerName, data: () => unknown, prepared?: PreparedThread) => {
    const supervisor = name === 'logs' ? logKeeper : workers;
    supervisor.add({ ...programOf(name), data, prepared });
  };

  try {
    if (config.debug.enabled) {
      const { address, remote } = config.debug;
      const { debug: port } = config.ports;
      start('debug', () => ({ socket: run.debugSocket, address, port, remote }), debugThread);
    } else {
      // A run that was killed has left it.
      rmSync(run.debugSocket, { force: true });
    }
    const startLogs = () => start('logs', () => pipes.workerData());
    const waiting = waitForMachine(config, board, signal);
    // What starts again waits until all is read that its last run has left in its pipes.
    const isEarly =
      board.get('IPAssigned').status !== 'true' || takeover.gone.length > 0 || takeover.ended.length > 0;
    if (isEarly) startLogs();
    const [foundNow, machine] = await Promise.all([
      options.findComponents(config, signal).finally(boot.begin('components')),
      waiting,
      raiseFileLimit(log),
    ]);
    void watchMachine({ state, board, log, signal });
    const { components: found, verify } = foundNow;
    components = found;
    linkPrograms(found.programs, run.bin);
    const identity = loadNodeIdentity(config.paths.state, tracesOfKey(config.paths));
    const { id, name } = identity;
    const node = { name, address: machine.address };
    if (config.layout === 'appliance') {
      const problems = nameAppliance({ etc: config.paths.etc, node: { id, ...node } });
      for (const problem of problems) log.warn(problem);
    }
    start('kubelet', () => ({
      config,
      components: found,
      machine,
      node,
      openRestarts: history.open(componentNames),
      sealingKey: derivedKey(identity, 'credentials for the next start'),
    }));
    // Two threads at first, for debug calls and for etcd, because a small machine has no processor for more. What the
    // others read waits in its pipes, or for etcd. If the second fails, its log is what people will ask for.
    const isLoaded = ({ status, reason }: Condition) => status === 'true' || reason === 'backoff';
    await board.when('hamlet.kubelet', isLoaded, signal);
    const isOnItsWay = ({ status, reason }: Condition) => status === 'true' || !notOnItsWay.includes(reason);
    await board.when('etcd', isOnItsWay, AbortSignal.any([signal, AbortSignal.timeout(etcdDelayMs)]));
    start('certs', () => ({
      config,
      nodeName: name,
      nodeAddresses: [machine.address],
      firstServiceIp: firstAddress(config.network.serviceCidr),
      etcdSocket: etcdSocket(config.paths.run),
      rereads: found.rereads,
      sealingKey: derivedKey(identity, 'PKI in etcd'),
    }));
    // etcd, which comes first, is the distribution's own.
    await Promise.race([aborted(), verify()]);
    if (!signal.aborted) verified.resolve(undefined);
    options.onRunning();
    // Loading any more would take the processor from etcd and the certificates, for which everything waits.
    await board.becomesTrue('PKIReady', AbortSignal.any([signal, AbortSignal.timeout(logsDelayMs)]));
    if (!isEarly) startLogs();
    // Without a credential it can do nothing.
    if (await board.becomesTrue('PKIReady', signal)) start('reconciler', () => ({ config, node }));
    await aborted();
  } finally {
    if (!leave.aborted && workers.isHealthy('kubelet')) await stopInOrder(connection, log, hanging.signal);
    // A worker that came up in the meantime would start again what is ended here.
    await workers.stop();
    if (leave.aborted) await children.release();
    else await endTheRest(children, log);
    report.close();
    // A disk that hangs holds up nobody's end.
    await abortable(history.written(), AbortSignal.timeout(historyPatienceMs)).catch(() => undefined);
    await logKeeper.stop();
    await connection.close();
    await router.close();
    pipes.close();
  }
  return leave.aborted ? 'left' : 'stopped';

  function aborted(): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }
}
