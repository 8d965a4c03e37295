import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Caller, Contender, Job, Message, Result } from '../contender.js';
import { run } from '../load.js';
import { blobOf } from './service.js';

/** What the processes send each other through the primary. */
type Envelope =
  | { readonly kind: 'request'; readonly id: number; readonly echo?: Message; readonly bytes: number }
  | { readonly kind: 'answer'; readonly id: number; readonly result: unknown };
type Control =
  | { readonly kind: 'job'; readonly job: Job }
  | { readonly kind: 'result'; readonly result: Result }
  | { readonly kind: 'cpu'; readonly us: number }
  | { readonly kind: 'ask-cpu' };
type Sent = Envelope | Control;

const cpuUs = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

/** A server and a caller of node:cluster; the primary process passes their messages on. */
export const contender: Contender = {
  host: async () => {
    cluster.setupPrimary({ exec: fileURLToPath(import.meta.url), serialization: 'advanced' });
    const server = cluster.fork({ BENCH_ROLE: 'server' });
    const caller = cluster.fork({ BENCH_ROLE: 'caller' });
    await Promise.all([once(server, 'message'), once(caller, 'message')]);
    server.on('message', (message: Sent) => {
      if (message.kind === 'answer') caller.send(message);
    });
    caller.on('message', (message: Sent) => {
      if (message.kind === 'request') server.send(message);
    });
    const answerOf = (worker: Worker, message: Control, kind: 'result' | 'cpu') =>
      new Promise<Control>((resolve) => {
        const listener = (answer: Sent) => {
          if (answer.kind !== kind) return;
          worker.off('message', listener);
          resolve(answer);
        };
        worker.on('message', listener);
        worker.send(message);
      });
    const cpuOf = async (worker: Worker) => {
      const answer = await answerOf(worker, { kind: 'ask-cpu' }, 'cpu');
      return answer.kind === 'cpu' ? answer.us : 0;
    };
    return {
      caller: {
        request: async (job) => {
          const answer = await answerOf(caller, { kind: 'job', job }, 'result');
          if (answer.kind !== 'result') throw new Error('not a result');
          return answer.result;
        },
        stop: async () => undefined,
      },
      extraCpuUs: async () => (await cpuOf(server)) + (await cpuOf(caller)),
      stop: async () => {
        const exits = [once(server, 'exit'), once(caller, 'exit')];
        server.kill();
        caller.kill();
        await Promise.all(exits);
      },
    };
  },
};

function serve(send: (message: Sent) => void): (message: Sent) => void {
  return (message) => {
    if (message.kind !== 'request') return;
    send({ kind: 'answer', id: message.id, result: message.echo ?? blobOf(message.bytes) });
  };
}

function call(send: (message: Sent) => void): (message: Sent) => void {
  const waiting = new Map<number, (result: unknown) => void>();
  let lastId = 0;
  const request = (echo: Message | undefined, bytes: number) =>
    new Promise<unknown>((resolve) => {
      lastId += 1;
      waiting.set(lastId, resolve);
      send({ kind: 'request', id: lastId, bytes, ...(echo !== undefined && { echo }) });
    });
  const caller: Caller = {
    echo: (message) => request(message, 0) as Promise<Message>,
    blob: (bytes) => request(undefined, bytes) as Promise<Uint8Array>,
  };
  return (message) => {
    if (message.kind === 'job') {
      void run(caller, message.job).then((result) => send({ kind: 'result', result }));
    } else if (message.kind === 'answer') {
      waiting.get(message.id)?.(message.result);
      waiting.delete(message.id);
    }
  };
}

if (cluster.isWorker) {
  const send = (message: Sent) => void process.send?.(message);
  const act = process.env.BENCH_ROLE === 'server' ? serve(send) : call(send);
  process.on('message', (message: Sent) => {
    if (message.kind === 'ask-cpu') send({ kind: 'cpu', us: cpuUs() });
    else act(message);
  });
  process.on('disconnect', () => process.exit(0));
  send({ kind: 'ask-cpu' });
}
