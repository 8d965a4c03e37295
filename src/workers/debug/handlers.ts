import type { nodeDebugService } from '../../gen/hamlet/debug/v1/debug.js';
import type { CallOptions, Client } from '../../ipc/contract.js';
import { isRetryable } from '../../ipc/errors.js';
import { clientName, type certs } from '../../ipc/services/certs.js';
import type { BootStep } from '../../ipc/services/boot.js';
import type { host } from '../../ipc/services/host.js';
import type { ListedRestart } from '../../ipc/services/restart.js';
import type { LogLine, logs } from '../../ipc/services/logs.js';
import { HamletError, isHamletError } from '../../lib/errors.js';
import { callerBehind } from './caller.js';
import { limits } from './limits.js';
import { streamLogs } from './logs.js';
import type { MethodRoles, ServiceHandlers } from './grpc.js';

/** Reading a ring takes milliseconds; a caller without a deadline of its own does not wait for ever. */
const logsDeadlineMs = 30_000;

/** The board of conditions is in the main thread's memory. */
const conditionsDeadlineMs = 5_000;

/** How many records are given to whoever does not say how many. */
const defaultRecords = 1_000;

/** What the debug API is an outside view of. */
export interface Sources {
  readonly certs: Client<typeof certs>;
  readonly logs: Client<typeof logs>;
  readonly host: Client<typeof host>;
}

/** Who may call what: credentials are for administrators, everything else is for readers too. */
export const debugRoles: MethodRoles<typeof nodeDebugService> = {
  getDebugKubeconfig: 'admin',
  getComponentLogs: 'read',
  streamComponentLogs: 'read',
  getCondition: 'read',
  listConditions: 'read',
  listRestarts: 'read',
  getBoot: 'read',
  listCertificates: 'read',
  issueDebugClient: 'admin',
  listIssuedCredentials: 'admin',
  rotateAuthorities: 'admin',
};

/** What nobody calls from another machine: with it, a certificate could be made to last for ever. */
export const onNode: readonly (keyof typeof nodeDebugService)[] = ['issueDebugClient'];

/** How many calls of a method one caller may have open, where an answer is large. */
export const atOnce: Partial<Record<keyof typeof nodeDebugService, number>> = {
  getComponentLogs: limits.maxLogsOfCaller,
};

/**
 * NodeDebugService in terms of the mesh: each call is checked for what its message cannot express, and handed on.
 * Errors of the services pass through with code and message as they are.
 */
export function debugHandlers(
  sources: Sources,
  { remote }: { readonly remote: boolean },
): ServiceHandlers<typeof nodeDebugService> {
  const { certs, logs, host } = sources;
  return {
    async getDebugKubeconfig({ id, groups, ttlSeconds }, { peer, ...options }) {
      if (id === '')
        throw new HamletError('INVALID_ARGUMENT', 'id is empty: say whom the credentials are for');
      if (groups.includes('')) throw new HamletError('INVALID_ARGUMENT', 'groups has an empty name in it');
      if (ttlSeconds < 0) throw new HamletError('INVALID_ARGUMENT', `ttl_seconds is ${ttlSeconds}`);
      const request = {
        id,
        groups: [...groups],
        ...(ttlSeconds === 0 ? {} : { ttlSeconds }),
        caller: await callerBehind(peer, host, options),
      };
      const { kubeconfig, expiresAtMs } = await reaching(
        'hamlet.certs',
        certs.debugKubeconfig(request, options),
      );
      return { kubeconfig, expiresAtMs, kubectlCommand: await kubectlCommand(host, options) };
    },

    async issueDebugClient({ name, role: asked, ttlSeconds }, { peer, ...options }) {
      if (!remote) {
        const remedy = 'set debug.remote in its configuration and start it again';
        throw new HamletError('FAILED_PRECONDITION', `this node listens for no other machines; ${remedy}`);
      }
      if (!clientName.test(name)) {
        throw new HamletError('INVALID_ARGUMENT', 'name has to be 1 to 64 letters, digits and any of _.:@-');
      }
      if (asked !== 'read' && asked !== 'admin') {
        throw new HamletError('INVALID_ARGUMENT', `role is "${asked}": there are read and admin`);
      }
      const role: 'read' | 'admin' = asked;
      if (ttlSeconds < 0) throw new HamletError('INVALID_ARGUMENT', `ttl_seconds is ${ttlSeconds}`);
      const caller = await callerBehind(peer, host, options);
      const request = { name, role, caller, ...(ttlSeconds !== 0 && { ttlSeconds }) };
      return reaching('hamlet.certs', certs.debugClient(request, options));
    },

    async getComponentLogs({ componentPath, tailLines }, options) {
      const component = dottedName(componentPath);
      if (tailLines < 0) {
        throw new HamletError('INVALID_ARGUMENT', `tail_lines is ${tailLines}: 0 means all lines`);
      }
      const request = { component, lines: tailLines };
      const batches = logs.tail(request, { deadlineMs: logsDeadlineMs, ...options });
      return { lines: await reaching('hamlet.logs', dataOf(batches)) };
    },

    async *streamComponentLogs(request, { signal }) {
      try {
        yield* streamLogs(logs, request, signal === undefined ? {} : { signal });
      } catch (error) {
        throw explained('hamlet.logs', error);
      }
    },

    async getCondition({ name }, options) {
      if (name === '') throw new HamletError('INVALID_ARGUMENT', 'name is empty: say which condition');
      const condition = await host.condition({ name }, options);
      return { ok: condition.status === 'true', condition };
    },

    async listConditions(_request, options) {
      // The board's first item is all of it; leaving the loop ends the stream.
      const snapshot = host.conditions({}, { deadlineMs: conditionsDeadlineMs, ...options });
      for await (const { conditions } of snapshot) return { conditions };
      throw new HamletError('INTERNAL', 'the host gave no conditions');
    },

    async getBoot(_request, options) {
      const { steps, criticalPath, nowMs } = await host.boot({}, options);
      const ready = steps.some(({ name, doneMs }) => name === 'NodeReady' && doneMs !== null);
      return {
        steps: steps.map((step) => bootMessage(step, nowMs)),
        criticalPath,
        ready,
        nowUs: microseconds(nowMs),
      };
    },

    async listRestarts({ name, tail }, options) {
      if (tail < 0) throw new HamletError('INVALID_ARGUMENT', `tail is ${tail}: 0 means all`);
      // Whatever can end has a condition; for any other name the host says which there are.
      if (name !== '' && name !== 'hamlet') await host.condition({ name }, options);
      const { restarts } = await host.restarts({ name, last: tail }, options);
      return { restarts: restarts.map(restartMessage) };
    },

    async listIssuedCredentials({ tail }, options) {
      if (tail < 0) throw new HamletError('INVALID_ARGUMENT', `tail is ${tail}: 0 means ${defaultRecords}`);
      const last = tail === 0 ? defaultRecords : tail;
      const { credentials } = await reaching('hamlet.certs', certs.issued({ last }, options));
      return {
        credentials: credentials.map(
          ({ caller: { transport, uid, pid, certificate }, refused, ...rest }) => ({
            ...rest,
            refused: refused ?? '',
            transport,
            client: certificate?.name ?? '',
            clientSerial: certificate?.serial ?? '',
            uid: uid === null ? '' : String(uid),
            pid: pid === null ? '' : String(pid),
          }),
        ),
      };
    },

    async listCertificates(_request, options) {
      const { certificates, rotation, secretsKey } = await reaching('hamlet.certs', certs.list({}, options));
      return {
        certificates: certificates.map((certificate) => ({
          ...certificate,
          renewalMs: certificate.renewalMs ?? 0,
        })),
        rotation,
        secretsKey: { ...secretsKey, renewalMs: secretsKey.renewalMs ?? 0 },
      };
    },

    async rotateAuthorities(_request, options) {
      return { rotation: await reaching('hamlet.certs', certs.rotate({}, options)) };
    },
  };
}

function bootMessage({ name, waits, seenMs, beganMs, executedMs, doneMs }: BootStep, nowMs: number) {
  return {
    name,
    waitsFor: waits.map((wait) => wait.name),
    waits: waits.map((wait) => ({
      name: wait.name,
      waitedUs: microseconds((wait.untilMs ?? nowMs) - wait.sinceMs),
      over: wait.untilMs !== null,
    })),
    seenUs: microseconds(seenMs),
    beganUs: microseconds(beganMs),
    executedUs: microseconds(executedMs),
    doneUs: microseconds(doneMs),
  };
}

function microseconds(ms: number | null): number {
  return Math.round((ms ?? 0) * 1_000);
}

function restartMessage({ code, signal, causeId, nextTryMs, executedMs, healthyMs, ...rest }: ListedRestart) {
  return {
    ...rest,
    code: code ?? -1,
    signal: signal ?? '',
    causeId: causeId ?? 0,
    nextTryMs: Math.round(nextTryMs ?? 0),
    executedMs: Math.round(executedMs ?? 0),
    healthyMs: Math.round(healthyMs ?? 0),
  };
}

async function dataOf(batches: AsyncIterable<{ readonly lines: readonly LogLine[] }>): Promise<Uint8Array[]> {
  const lines: Uint8Array[] = [];
  for await (const batch of batches) {
    for (const line of batch.lines) lines.push(line.data);
  }
  return lines;
}

/** A worker that is not there yet, or not there again, is known to people by the name that it has in the logs. */
async function reaching<T>(worker: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw explained(worker, error);
  }
}

function explained(worker: string, error: unknown): unknown {
  if (!isRetryable(error)) return error;
  return new HamletError('UNAVAILABLE', `waiting for the worker ${worker}`, { cause: error });
}

/** The words that start the node's kubectl; none while it has none, which is no reason to keep a kubeconfig back. */
async function kubectlCommand(host: Sources['host'], options: CallOptions): Promise<readonly string[]> {
  try {
    return (await host.kubectl({}, options)).command;
  } catch (error) {
    if (isHamletError(error, 'UNAVAILABLE') || isHamletError(error, 'FAILED_PRECONDITION')) return [];
    throw error;
  }
}

/** ["kube", "apiserver"] and ["kube.apiserver"] are the same component. */
function dottedName(path: readonly string[]): string {
  const name = path.join('.');
  if (name === '') throw new HamletError('INVALID_ARGUMENT', 'component_path is empty: say which component');
  if (name.split('.').includes('')) {
    throw new HamletError('INVALID_ARGUMENT', `component_path "${name}" has an empty part`);
  }
  return name;
}
