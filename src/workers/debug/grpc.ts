import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  logVerbosity,
  setLogVerbosity,
  status,
} from '@grpc/grpc-js';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { CallOptions } from '../../ipc/contract.js';
import { HamletError, codeOf, isHamletError, messageOf } from '../../lib/errors.js';
import { admission, Unreadable, type Terms } from './admission.js';
import { callBudget, connectionBudget, limits, Refusals, type RefusalLog } from './limits.js';
import { Gate, listenUnix, type OnConnection } from './listener.js';
import type { Peer, Role } from './peer.js';
import { http2ServerOf, Streams } from './streams.js';
import { TcpDoor } from './tcp-door.js';

/** A message travels in an HTTP/2 trailer, where every byte may become three. Node refuses trailers of 64 KiB. */
const maxMessageChars = 4_096;

/** A method as src/gen/ has it; `never`, because here it may take any message. */
interface MethodEntry {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestDeserialize: (bytes: Buffer) => unknown;
  readonly responseSerialize: (message: never) => Buffer;
}

export type ServiceTable = Readonly<Record<string, MethodEntry>>;

/** What a handler is told beside the request: the caller's cancel and remaining time, and who it is. */
export interface DebugCall extends CallOptions {
  readonly peer: Peer;
}

type Reply<M extends MethodEntry> = Parameters<M['responseSerialize']>[0];

/** One message, or all that a caller sends. */
type Incoming<M extends MethodEntry> = M['requestStream'] extends true
  ? AsyncIterable<ReturnType<M['requestDeserialize']>>
  : ReturnType<M['requestDeserialize']>;

/** What a service's methods do, one function each. One that answers with a stream ends when the signal is aborted. */
export type ServiceHandlers<S extends ServiceTable> = {
  readonly [K in keyof S]: (
    request: Incoming<S[K]>,
    call: DebugCall,
  ) => S[K]['responseStream'] extends true ? AsyncIterable<Reply<S[K]>> : Promise<Reply<S[K]>>;
};

/** Which role a method asks for. */
export type MethodRoles<S extends ServiceTable> = { readonly [K in keyof S]: Exclude<Role, 'none'> };

/** Where refusals and unexpected errors are written: any pino logger. */
export interface DebugLog extends RefusalLog {
  error(fields: { readonly err: unknown }, message: string): void;
  info(fields: object, message: string): void;
}

export interface ListenOptions<S extends ServiceTable> {
  /** The Unix socket, if there is to be one. */
  readonly socket?: string | undefined;
  readonly address: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly roles: MethodRoles<S>;
  /** Methods that are for callers on this machine alone. */
  readonly onNode?: readonly (keyof S)[];
  /** How many calls of a method one caller may have open; as many as of any kind unless given. */
  readonly atOnce?: Readonly<Partial<Record<keyof S, number>>>;
  /** Services beside the first one; see method(). */
  readonly also?: readonly Method[];
  readonly log: DebugLog;
}

/** A method whose handler takes what it reads and gives what it writes. */
export interface Method {
  readonly name: string;
  readonly entry: MethodEntry;
  readonly handler: (request: never, call: DebugCall) => unknown;
  readonly role: Exclude<Role, 'none'>;
}

/** The methods of a service, each with its handler and the role that it asks for. */
export function methodsOf<S extends ServiceTable>(
  service: S,
  handlers: ServiceHandlers<S>,
  roles: MethodRoles<S>,
): Method[] {
  return Object.entries(service).flatMap(([name, entry]): Method[] => {
    const [handler, role] = [handlers[name], roles[name]];
    return handler === undefined || role === undefined ? [] : [{ name, entry, handler, role }];
  });
}

export interface DebugServer {
  readonly port: number;
  /** Serves another listener's connection, too; whoever gives it closes it. */
  readonly take: OnConnection;
  readonly refusals: Refusals;
  /** Refuses new calls, gives open ones `patienceMs` to end, and cancels the rest. */
  close(patienceMs: number): Promise<void>;
}

type UnaryHandler = (request: unknown, call: DebugCall) => Promise<unknown>;
type StreamHandler = (request: unknown, call: DebugCall) => AsyncIterable<unknown>;

/**
 * Serves `service` over gRPC on a Unix socket and on a loopback port. Who calls is known by the connection, which is
 * why connections are taken here and handed to gRPC. A port that is taken is waited for where there is the socket.
 * Throws what listenUnix() throws, and without a socket what listenTcp() does.
 */
export async function listen<S extends ServiceTable>(
  service: S,
  handlers: ServiceHandlers<S>,
  options: ListenOptions<S>,
): Promise<DebugServer> {
  // grpc-js writes to stderr by itself what is thrown here, or is no concern of the node's.
  setLogVerbosity(logVerbosity.NONE);
  const monotonic = () => performance.now();
  const refusals = new Refusals(options.log, monotonic);
  const peers = new Peers();
  const { onNode = [] } = options;
  const atOnce: Readonly<Partial<Record<string, number>>> = options.atOnce ?? {};
  const methods = [...methodsOf(service, handlers, options.roles), ...(options.also ?? [])];
  const terms = new Map(
    methods.map(({ name, entry, role }): [string, Terms] => {
      const isUnary = !entry.requestStream && !entry.responseStream;
      return [entry.path, { name, role, onNode: onNode.includes(name), isUnary, atOnce: atOnce[name] }];
    }),
  );
  const budget = callBudget(monotonic);
  const calls = { terms, peerOf: (name: string) => peers.named(name), budget, refusals };
  const streams = new Streams(calls);
  const server = new Server({
    'grpc.max_receive_message_length': limits.maxRequestBytes,
    'grpc.max_concurrent_streams': limits.maxConcurrentCalls,
    'grpc.keepalive_time_ms': limits.keepaliveMs,
    'grpc.keepalive_timeout_ms': limits.maxPongMs,
    'grpc.enable_channelz': 0,
    interceptors: [admission({ ...calls, streams })],
  });
  for (const method of methods) register(server, method, { peers, log: options.log });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  streams.guard(http2ServerOf(server));
  const take = (socket: Socket, peer: Peer): void => {
    peers.add(socket, peer);
    injector.injectConnection(socket);
  };
  const { socket, address, port, log } = options;
  // All who may open the socket are one caller.
  const begun = connectionBudget(monotonic);
  const unixGate = new Gate(refusals, { ofCaller: limits.maxConnections, begun });
  const unix = socket === undefined ? undefined : await listenUnix(socket, unixGate, take);
  const gate = new Gate(refusals, { begun });
  const tcp = await TcpDoor.open({ address, port, gate, take, mayWait: unix !== undefined, log });
  return {
    port: tcp.port,
    take,
    refusals,
    async close(patienceMs) {
      tcp.close();
      unix?.close();
      injector.drain(patienceMs);
      await Promise.all([gate.close(patienceMs), unixGate.close(patienceMs)]);
      server.forceShutdown();
    },
  };
}

function register(server: Server, { entry, handler }: Method, surroundings: Surroundings): void {
  const { path, requestStream, responseStream } = entry;
  const requestDeserialize = (bytes: Buffer): unknown => {
    try {
      return entry.requestDeserialize(bytes);
    } catch (cause) {
      return new Unreadable(cause);
    }
  };
  const responseSerialize = entry.responseSerialize as (response: unknown) => Buffer;
  if (requestStream || responseStream) {
    const handle = streaming(path, handler as StreamHandler, surroundings);
    const type = requestStream ? 'bidi' : 'serverStream';
    server.register(path, handle, responseSerialize, requestDeserialize, type);
  } else {
    const handle = unary(path, handler as UnaryHandler, surroundings);
    server.register(path, handle, responseSerialize, requestDeserialize, 'unary');
  }
}

/** Who is behind which connection. gRPC hands on no more of one than its remote address, which is ours to set. */
class Peers {
  readonly #peers = new Map<string, Peer>();
  #count = 0;

  add(socket: Socket, peer: Peer): void {
    const name = `#${++this.#count}`;
    this.#peers.set(name, peer);
    Object.defineProperty(socket, 'remoteAddress', { value: name });
    Object.defineProperty(socket, 'remotePort', { value: undefined });
    socket.once('close', () => this.#peers.delete(name));
  }

  /** Throws CANCELLED when the connection is gone. */
  named(name: string): Peer {
    const peer = this.#peers.get(name);
    if (peer === undefined) throw new HamletError('CANCELLED', 'the caller is gone');
    return peer;
  }
}

type UnaryReply = (error: { code: status; details: string } | null, response?: unknown) => void;

interface Surroundings {
  readonly peers: Peers;
  readonly log: DebugLog;
}

/** Calls the handler and turns what it throws into a status of the same code. */
function unary(path: string, handler: UnaryHandler, { peers, log }: Surroundings) {
  const answer = async (call: ServerUnaryCall<unknown, unknown>, signal: AbortSignal): Promise<unknown> => {
    const peer = peers.named(call.getPeer());
    return handler(call.request, { signal, deadlineMs: remaining(call.getDeadline()), peer });
  };
  return (call: ServerUnaryCall<unknown, unknown>, reply: UnaryReply): void => {
    const cancelled = new AbortController();
    call.once('cancelled', () => cancelled.abort());
    answer(call, cancelled.signal).then(
      (response) => reply(null, response),
      (error: unknown) => reply(statusOf(error, path, cancelled.signal, log)),
    );
  };
}

/** The same for a stream, and for one that answers another: it runs for as long as its caller wants, and waits for a caller that does not read. */
function streaming(path: string, handler: StreamHandler, { peers, log }: Surroundings) {
  return (call: ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>): void => {
    const cancelled = new AbortController();
    const { signal } = cancelled;
    call.once('cancelled', () => cancelled.abort());
    const answer = async (): Promise<void> => {
      const peer = peers.named(call.getPeer());
      // A caller that has asked everything is still to be answered: the call must not end with what it sends.
      const request = 'request' in call ? call.request : call.iterator({ destroyOnReturn: false });
      for await (const item of handler(request, { signal, peer })) {
        if (signal.aborted) return;
        if (!call.write(item)) await once(call, 'drain', { signal });
      }
      call.end();
    };
    answer().catch((error: unknown) => call.emit('error', statusOf(error, path, signal, log)));
  };
}

/** The status that says what was thrown; what nobody has foreseen is logged in full. */
function statusOf(error: unknown, path: string, signal: AbortSignal, log: DebugLog) {
  if (!isHamletError(error) && !signal.aborted) log.error({ err: error }, `${path} failed`);
  return { code: status[codeOf(error)], details: messageOf(error).slice(0, maxMessageChars) };
}

/** gRPC has a caller's deadline as a point in time; the mesh as the milliseconds that remain. */
function remaining(deadline: Date | number): number {
  const atMs = Number(deadline);
  if (!Number.isFinite(atMs)) return limits.maxCallMs;
  return Math.min(limits.maxCallMs, Math.max(0, atMs - Date.now()));
}
