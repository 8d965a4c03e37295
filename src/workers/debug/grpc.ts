import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  logVerbosity,
  setLogVerbosity,
  status,
} from '@grpc/grpc-js';
import type { CallOptions } from '../../ipc/contract.js';
import { HamletError, codeOf, isHamletError, messageOf } from '../../lib/errors.js';

/** A request is an identity with its groups at most; gRPC's own limit is 4 MiB. */
const maxRequestBytes = 1024 * 1024;
/** A message travels in an HTTP/2 trailer, where every byte may become three. Node refuses trailers of 64 KiB. */
const maxMessageChars = 4_096;

/** A method as src/gen/ has it; `never`, because here it may take any message. */
interface MethodEntry {
  readonly path: string;
  readonly requestDeserialize: (bytes: Buffer) => unknown;
  readonly responseSerialize: (message: never) => Buffer;
}

export type ServiceTable = Readonly<Record<string, MethodEntry>>;

/** What a service's methods do, one function each. `options` carries the caller's cancel and remaining time. */
export type UnaryHandlers<S extends ServiceTable> = {
  readonly [K in keyof S]: (
    request: ReturnType<S[K]['requestDeserialize']>,
    options: CallOptions,
  ) => Promise<Parameters<S[K]['responseSerialize']>[0]>;
};

/** Where unexpected errors are written: any pino logger. */
export interface ErrorLog {
  error(fields: { readonly err: unknown }, message: string): void;
}

export interface ListenOptions {
  readonly address: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly log: ErrorLog;
}

export interface DebugServer {
  readonly port: number;
  /** Refuses new calls, gives open ones `patienceMs` to end, and cancels the rest. */
  close(patienceMs: number): Promise<void>;
}

/**
 * Serves `service` over gRPC without TLS. Throws ALREADY_EXISTS when the port is taken, INVALID_ARGUMENT when the
 * address is not one of this machine's, both with `address` and `port` in the details.
 */
export async function listen<S extends ServiceTable>(
  service: S,
  handlers: UnaryHandlers<S>,
  options: ListenOptions,
): Promise<DebugServer> {
  // grpc-js writes to stderr by itself what is thrown here, or is no concern of the node's.
  setLogVerbosity(logVerbosity.NONE);
  const server = new Server({ 'grpc.max_receive_message_length': maxRequestBytes });
  for (const name of Object.keys(service)) {
    const method = service[name];
    const handler = handlers[name];
    if (method === undefined || handler === undefined) continue;
    server.register(
      method.path,
      unary(
        method.path,
        handler as (request: unknown, options: CallOptions) => Promise<unknown>,
        options.log,
      ),
      method.responseSerialize as (response: unknown) => Buffer,
      method.requestDeserialize,
      'unary',
    );
  }
  const port = await bind(server, options);
  return { port, close: (patienceMs) => close(server, patienceMs) };
}

type UnaryReply = (error: { code: status; details: string } | null, response?: unknown) => void;

/** Calls the handler and turns what it throws into a status of the same code. */
function unary(
  path: string,
  handler: (request: unknown, options: CallOptions) => Promise<unknown>,
  log: ErrorLog,
) {
  return (call: ServerUnaryCall<unknown, unknown>, reply: UnaryReply): void => {
    const cancelled = new AbortController();
    call.once('cancelled', () => cancelled.abort());
    handler(call.request, { signal: cancelled.signal, ...remaining(call.getDeadline()) }).then(
      (response) => reply(null, response),
      (error: unknown) => {
        if (!isHamletError(error) && !cancelled.signal.aborted) log.error({ err: error }, `${path} failed`);
        reply({ code: status[codeOf(error)], details: messageOf(error).slice(0, maxMessageChars) });
      },
    );
  };
}

/** gRPC has a caller's deadline as a point in time; the mesh as the milliseconds that remain. */
function remaining(deadline: Date | number): CallOptions {
  const atMs = Number(deadline);
  return Number.isFinite(atMs) ? { deadlineMs: Math.max(0, atMs - Date.now()) } : {};
}

async function bind(server: Server, { address, port }: ListenOptions): Promise<number> {
  try {
    return await new Promise<number>((resolve, reject) => {
      server.bindAsync(`${address}:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
  } catch (cause) {
    const details = { address, port };
    // grpc-js puts the system's error into its message and nowhere else.
    const text = messageOf(cause);
    if (text.includes('EADDRINUSE')) {
      throw new HamletError('ALREADY_EXISTS', `port ${port} on ${address} is taken`, { cause, details });
    }
    throw new HamletError('INVALID_ARGUMENT', `cannot listen on ${address}:${port}`, { cause, details });
  }
}

async function close(server: Server, patienceMs: number): Promise<void> {
  const impatient = setTimeout(() => server.forceShutdown(), patienceMs);
  await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  clearTimeout(impatient);
}
