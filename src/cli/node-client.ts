import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ChannelCredentials, ServiceError, credentials as Credentials } from '@grpc/grpc-js';
import { certificateFile } from './arguments.js';
import { plaintextTarget } from './plaintext.js';
import { HamletError, errorCodes } from '../lib/errors.js';
import { formatDuration } from '../lib/time.js';

/** How long a node may take to answer. A whole log can be many megabytes, and a certificate waits for etcd. */
const deadlineMs = 15_000;

const channelOptions = {
  // A whole log of long lines is larger than gRPC's default of 4 MiB; the node bounds it.
  'grpc.max_receive_message_length': -1,
  // A proxy from the environment is meant for the web, and a TXT record cannot say anything about a node.
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  // Its authority is this node's alone, so the name is one that every node has, whatever it is called from here.
  'grpc.ssl_target_name_override': 'localhost',
  // A machine that went down, or a firewall that forgot, ends no connection: what follows a log would wait for good.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 10_000,
};

/** What "dbg client-certificate" prints, in its parts, as PEM. */
interface ClientCertificate {
  readonly certificate: string;
  readonly key: string;
  /** Of the node's own certificate. */
  readonly authorities: string;
}

/** Throws NOT_FOUND for a file that cannot be read, INVALID_ARGUMENT for another, FAILED_PRECONDITION for an old one. */
function readCertificate(file: string): ClientCertificate {
  let pem: string;
  try {
    pem = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new HamletError('NOT_FOUND', `the certificate ${file} cannot be read`, { cause });
  }
  const parts = pem.match(/-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----\n?/g) ?? [];
  const [certificate, ...authorities] = parts.filter((part) => part.includes('BEGIN CERTIFICATE'));
  const key = parts.find((part) => part.includes('PRIVATE KEY'));
  if (certificate === undefined || key === undefined || authorities.length === 0) {
    throw new HamletError('INVALID_ARGUMENT', `${file} is not what "dbg client-certificate" prints`);
  }
  const { validTo } = parsed(certificate, file);
  if (Date.now() >= Date.parse(validTo)) {
    const remedy = '"dbg client-certificate" on the node issues another';
    throw new HamletError('FAILED_PRECONDITION', `the certificate ${file} ended on ${validTo}; ${remedy}`);
  }
  return { certificate, key, authorities: authorities.join('') };
}

function parsed(certificate: string, file: string): X509Certificate {
  try {
    return new X509Certificate(certificate);
  } catch (cause) {
    throw new HamletError('INVALID_ARGUMENT', `the certificate in ${file} is damaged`, { cause });
  }
}

interface Way {
  readonly target: string;
  readonly credentials: ChannelCredentials;
}

/**
 * How a node is reached, and known to be one: by the permissions of a Unix socket, by TLS when there is a client's
 * certificate, else by who listens. Throws what readCertificate() and plaintextTarget() throw, and UNAVAILABLE when
 * nobody listens.
 */
async function wayTo(endpoint: string, { createInsecure, createSsl }: typeof Credentials): Promise<Way> {
  if (endpoint.startsWith('unix:')) return { target: endpoint, credentials: createInsecure() };
  const file = certificateFile();
  if (file !== undefined) {
    const { certificate, key, authorities } = readCertificate(file);
    const credentials = createSsl(Buffer.from(authorities), Buffer.from(key), Buffer.from(certificate));
    return { target: endpoint, credentials };
  }
  const target = await plaintextTarget(endpoint);
  if (target !== undefined) return { target, credentials: createInsecure() };
  throw new HamletError('UNAVAILABLE', `no node answers at ${endpoint}${remedyFor(endpoint, '')}`);
}

/** A method without streams, as the tables in src/gen/ describe it. */
interface UnaryMethod<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (message: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/**
 * Makes one call of the debug API. Throws a HamletError whose message is meant for people: what is wrong and, where
 * something can be done, what.
 */
export async function callNode<Request, Response>(
  endpoint: string,
  method: UnaryMethod<Request, Response>,
  request: Request,
): Promise<Response> {
  // Imported here, so that the commands which need no node (help, wrong usage) start in half the time.
  const grpc = await import('@grpc/grpc-js');
  const { Client, connectivityState, credentials, status } = grpc;
  // What goes wrong is said once, by the caller.
  grpc.setLogVerbosity(grpc.logVerbosity.NONE);
  const { path, requestSerialize, responseDeserialize } = method;
  const way = await wayTo(endpoint, credentials);
  const client = new Client(way.target, way.credentials, channelOptions);
  const options = { deadline: Date.now() + deadlineMs };
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        options,
        (error, response) => {
          if (error === null && response !== undefined) return resolve(response);
          const connected = client.getChannel().getConnectivityState(false) === connectivityState.READY;
          reject(failure(error, endpoint, status[error?.code ?? status.UNKNOWN], connected));
        },
      );
    });
  } finally {
    client.close();
  }
}

/** A method whose answer is a stream. */
interface StreamMethod<Request, Response> extends UnaryMethod<Request, Response> {
  readonly responseStream: true;
}

/**
 * Makes one call of the debug API that is answered by a stream; it has no deadline. Leaving the loop ends the call, and
 * the connection too. Throws what callNode() throws.
 */
export async function* streamNode<Request, Response>(
  endpoint: string,
  method: StreamMethod<Request, Response>,
  request: Request,
): AsyncGenerator<Response, void> {
  const grpc = await import('@grpc/grpc-js');
  const { Client, connectivityState, credentials, status } = grpc;
  grpc.setLogVerbosity(grpc.logVerbosity.NONE);
  const { path, requestSerialize, responseDeserialize } = method;
  const way = await wayTo(endpoint, credentials);
  const client = new Client(way.target, way.credentials, channelOptions);
  let isConnected = false;
  const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
  try {
    for await (const response of call) {
      isConnected = true;
      yield response as Response;
    }
  } catch (error) {
    const failed = error as ServiceError;
    const isReady = client.getChannel().getConnectivityState(false) === connectivityState.READY;
    throw failure(failed, endpoint, status[failed.code], isConnected || isReady);
  } finally {
    call.cancel();
    client.close();
  }
}

/**
 * What to say of a call that failed. Without a connection the status is not the node's but made up on this side.
 * gRPC's own error is not kept as the cause: its text is the same, wrapped in words that help nobody here.
 */
function failure(
  error: ServiceError | null,
  endpoint: string,
  name: string | undefined,
  connected: boolean,
): HamletError {
  const code = errorCodes.find((candidate) => candidate === name) ?? 'UNKNOWN';
  const details = error?.details ?? '';
  if (code === 'UNAVAILABLE' && !connected) {
    return new HamletError(code, `no node answers at ${endpoint}${remedyFor(endpoint, details)}`);
  }
  // A service of the node may have had a deadline of its own; this is how grpc-js words the one set above.
  if (code === 'DEADLINE_EXCEEDED' && details.startsWith('Deadline exceeded')) {
    return new HamletError(code, `no answer from ${endpoint} within ${formatDuration(deadlineMs)}`);
  }
  if (code === 'UNIMPLEMENTED') {
    return new HamletError(
      code,
      `what runs at ${endpoint} does not know this call; is it a node of this version?`,
    );
  }
  return new HamletError(
    code,
    details === '' ? `the node at ${endpoint} failed and gave no reason` : details,
  );
}

/** What to do when there is no connection. */
function remedyFor(endpoint: string, details: string): string {
  if (details.includes('EACCES')) return ': you may not open it; root may, and the group hamlet';
  if (details.startsWith('Name resolution failed')) return ': there is no address for this name';
  if (certificateFile() !== undefined && !endpoint.startsWith('unix:')) {
    return ', or it does not take this certificate; "dbg logs hamlet.debug" on the node says why';
  }
  if (/^(unix|127|localhost|\[::1\])/.test(endpoint))
    return '; start one with: npm start (with debug.enabled: false it answers nobody)';
  return '; on another machine it takes --cert FILE and the port of debug.remote, see dbg help client-certificate';
}
