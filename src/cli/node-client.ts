import type { ServiceError } from '@grpc/grpc-js';
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
};

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
  const client = new Client(endpoint, credentials.createInsecure(), channelOptions);
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
  const client = new Client(endpoint, credentials.createInsecure(), channelOptions);
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
    const unresolved = details.startsWith('Name resolution failed');
    const remedy = unresolved ? ': there is no address for this name' : '; start one with: npm start';
    return new HamletError(code, `no node answers at ${endpoint}${remedy}`);
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
