import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import { HamletError, isHamletError } from '../../lib/errors.js';

/** No health endpoint has more to say than this; the rest of an answer is cut off. */
const maxAnswerBytes = 64 * 1024;

export interface HttpProbe {
  readonly method?: 'GET' | 'POST';
  readonly body?: string;
  /** Either a Unix socket or a port on loopback. */
  readonly socketPath?: string;
  readonly port?: number;
  readonly path: string;
  /** PEM, for an HTTPS endpoint. */
  readonly tls?: TlsCredentials;
}

/** PEM. */
export interface TlsCredentials {
  readonly ca: Uint8Array;
  readonly cert: Uint8Array;
  readonly key: Uint8Array;
}

/** How a probe proves itself to a component and knows it; undefined until there is a PKI. */
export type ProbeCredentials = () => TlsCredentials | undefined;

/** Whether a probe failed before it had asked anybody. */
export function isUnasked(error: unknown): boolean {
  return isHamletError(error) && error.details.isUnasked === true;
}

/** Asks an HTTPS endpoint on loopback; throws UNAVAILABLE when its answer is not a 200. */
export async function probeHttps(
  port: number,
  path: string,
  credentials: ProbeCredentials,
  signal: AbortSignal,
): Promise<void> {
  const tls = credentials();
  if (tls === undefined) {
    throw new HamletError('UNAVAILABLE', 'waits for its certificates', { details: { isUnasked: true } });
  }
  await probeHttp({ port, path, tls }, signal);
}

/**
 * Asks an HTTP or HTTPS endpoint and gives back the body of a 200.
 * Throws UNAVAILABLE with the status and the beginning of the body otherwise, or with the connection's error.
 */
export function probeHttp(probe: HttpProbe, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const { path, socketPath, port, method = 'GET' } = probe;
    // A kept connection would answer for a process that has been replaced meanwhile.
    const options = { path, socketPath, port, method, signal, host: '127.0.0.1', agent: false } as const;
    const request =
      probe.tls === undefined
        ? http.request(options)
        : https.request({ ...options, ...tlsOptions(probe.tls) });
    // A probe that runs out of time says so, not that it was aborted.
    const fail = (message: string, cause: unknown) =>
      reject(unavailable(message, signal.aborted ? signal.reason : cause));
    request.on('error', (cause) => fail('no answer', cause));
    request.once('response', (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        if (body.length < maxAnswerBytes) body += chunk;
      });
      response.on('error', (cause) => fail('the answer broke off', cause));
      response.once('end', () => {
        if (response.statusCode === 200) resolve(body);
        else reject(unavailable(`${path} answers ${response.statusCode ?? 0}: ${summary(body)}`));
      });
    });
    request.end(probe.body);
  });
}

/**
 * Makes one unary gRPC call with an empty request over a Unix socket and gives back the reply's message, undecoded.
 * One call over node:http2 costs a probe nothing, a gRPC library would cost this thread 14 MB
 * (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md has the format).
 * Throws UNAVAILABLE when there is no good answer.
 */
export async function probeGrpc(socketPath: string, method: string, signal: AbortSignal): Promise<Buffer> {
  // grpc-go refuses an :authority that is not a host, and a socket's path is none.
  const session = http2.connect('http://localhost', { createConnection: () => net.connect(socketPath) });
  try {
    return await callGrpc(session, method, signal);
  } finally {
    session.destroy();
  }
}

function callGrpc(session: http2.ClientHttp2Session, method: string, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const fail = (message: string, cause?: unknown) => reject(unavailable(message, cause));
    const onAbort = () => fail('no answer', signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    session.on('error', (cause) => fail('no answer', cause));
    session.once('close', () => {
      signal.removeEventListener('abort', onAbort);
      fail('the connection was closed');
    });
    const stream = session.request({
      ':method': 'POST',
      ':path': method,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const chunks: Buffer[] = [];
    let status: string | undefined;
    let message = '';
    const take = (headers: http2.IncomingHttpHeaders) => {
      status = headers['grpc-status']?.toString() ?? status;
      message = headers['grpc-message']?.toString() ?? message;
    };
    stream.once('response', take);
    stream.once('trailers', take);
    stream.on('error', (cause) => fail('no answer', cause));
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.once('end', () => {
      if (status === '0') return resolve(Buffer.concat(chunks).subarray(grpcPrefixBytes));
      fail(`${method} answers status ${status ?? 'none'}: ${percentDecoded(message)}`);
    });
    // Not compressed, length 0: an empty message.
    stream.end(Buffer.alloc(grpcPrefixBytes));
  });
}

/** One byte for compression, four for the length. */
const grpcPrefixBytes = 5;

function tlsOptions(tls: TlsCredentials): https.RequestOptions {
  return {
    ca: Buffer.from(tls.ca),
    cert: Buffer.from(tls.cert),
    key: Buffer.from(tls.key),
  };
}

/** What cannot be decoded is shown as it is: a server's mistake must not end this thread. */
function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function unavailable(message: string, cause?: unknown): HamletError {
  const detail = cause instanceof Error ? `${message}: ${cause.message}` : message;
  return new HamletError('UNAVAILABLE', detail, { cause });
}

/** The lines of a health report that say what is wrong ("[-]etcd failed: …"), or its beginning. */
function summary(body: string): string {
  const failed = body.split('\n').filter((line) => line.startsWith('[-]'));
  return (failed.length > 0 ? failed.join(', ') : body.trim()).slice(0, 300);
}
