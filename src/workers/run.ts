import { parentPort } from 'node:worker_threads';
import { type Logger, pino } from 'pino';
import { HamletError } from '../lib/errors.js';
import { createLog } from '../lib/log.js';
import { connect, type Connection } from '../ipc/connection.js';
import { deferred } from '../ipc/deferred.js';
import { type Implementation, serveAll } from '../ipc/server.js';
import {
  HEARTBEAT_MS,
  type HostMessage,
  type ThreadData,
  type ThreadLog,
  type ThreadMessage,
} from '../ipc/thread.js';

/** What a worker's setup function is given. */
export interface WorkerContext<Data> {
  /** The worker's place on the mesh; calls can be made at once. */
  readonly connection: Connection;
  /** What startThread() was given as `data`. */
  readonly data: Data;
  /** Aborted when the worker is to stop. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** What a worker's setup function gives. */
export interface WorkerSetup {
  /** Served from the moment setup has returned. */
  readonly services?: readonly Implementation[];
  /** Runs when the worker is to stop, before its connection is closed. */
  readonly stop?: () => void | Promise<void>;
}

/**
 * What every worker thread does: waits until its work is to begin, connects to the mesh, sets itself up, serves, says
 * that it is ready, and stops when the main thread asks. An error that nobody catches ends the thread and reaches the
 * main thread.
 * Throws what setup throws, and whatever keeps the mesh from being reached.
 */
export async function runWorker<Data = unknown>(
  name: string,
  setup: (context: WorkerContext<Data>) => WorkerSetup | Promise<WorkerSetup>,
): Promise<void> {
  const port = parentPort;
  if (port === null) throw new HamletError('FAILED_PRECONDITION', `${name} runs as a worker thread only`);
  const stopping = new AbortController();
  const begun = deferred<ThreadData>();
  port.on('message', (message: HostMessage) => {
    switch (message.kind) {
      case 'begin':
        return begun.resolve(message.thread);
      case 'stop':
        return stopping.abort(new HamletError('CANCELLED', `${name} is stopping`));
      default:
        return message satisfies never;
    }
  });
  const thread = await begun.promise;
  const log = makeLog(name, thread.log);
  const beats = new Int32Array(thread.heartbeat);
  const beat = () => Atomics.add(beats, 0, 1);
  beat();
  setInterval(beat, HEARTBEAT_MS).unref();

  const { signal } = stopping;
  try {
    const connection = await connect({ ...thread.mesh, name: thread.name, log, signal });
    void connection.closed.then((error) => {
      // Nothing can be served without the mesh, so the thread ends, and the main thread starts another.
      if (error !== undefined && !signal.aborted) throw error;
    });
    const { services = [], stop } = await setup({ connection, data: thread.data as Data, signal, log });
    serveAll(connection, services);
    const ready: ThreadMessage = { kind: 'ready' };
    port.postMessage(ready);
    log.debug('ready');
    await aborted(signal);
    await stop?.();
    await connection.close();
  } catch (error) {
    if (!signal.aborted) throw error;
    log.debug({ err: error }, 'stopped before it was ready');
  }
  process.exit(0);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function makeLog(name: string, { fd, level = 'info' }: ThreadLog): Logger {
  const component = `hamlet.${name}`;
  if (fd !== undefined) return createLog(component, fd, level);
  // Written synchronously: the lines before a crash are the ones that matter.
  return pino({ level, base: { component } }, pino.destination({ dest: 2, sync: true }));
}
