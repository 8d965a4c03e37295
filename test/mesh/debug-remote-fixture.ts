import { spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { openSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { roleGroups } from '../../src/ipc/debug-roles.js';
import type { Handlers } from '../../src/ipc/contract.js';
import { certs } from '../../src/ipc/services/certs.js';
import { type Condition, host } from '../../src/ipc/services/host.js';
import { JobPool } from '../../src/jobs/pool.js';
import { poll } from '../../src/lib/time.js';
import { bundle, credentialFiles, privateKeyPem } from '../../src/workers/certs/credentials.js';
import { issueClient } from '../../src/workers/certs/issue.js';
import { parsePki, type Pki } from '../../src/workers/certs/pki.js';
import { client, type Profile } from '../../src/workers/certs/profiles.js';
import { facts, freshPki, never } from '../unit/certs/fixtures.js';
import { DebugNode, freePort } from './debug-fixture.js';

const dbgFile = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const ready: Condition = { name: 'NodeReady', status: 'true', reason: '', message: '', sinceMs: 1 };
const jobs = new JobPool();
t.teardown(() => jobs[Symbol.asyncDispose]());

export interface LogLine {
  readonly level: number;
  readonly msg: string;
}

export interface Remote {
  readonly node: DebugNode;
  readonly port: number;
  /** A file with a certificate of the role admin. */
  readonly admin: string;
  /** The lines of the worker's log. */
  readonly log: () => readonly LogLine[];
  /** Hands out the credentials of this PKI from now on, as after a renewal, or none but this error. */
  readonly renew: (pki: Pki | Error) => void;
}

export async function newPki(): Promise<Pki> {
  return parsePki(await freshPki(), facts, Date.now());
}

/** A debug worker that listens for other machines, with the credentials of `first`; on a port that is taken, if there is one. */
export async function startRemote(
  t: Test,
  first: Pki,
  ofHost: Partial<Handlers<typeof host>> = {},
  takenPort?: number,
): Promise<Remote> {
  const file = path.join(t.testdir(), 'log');
  const port = takenPort ?? (await freePort());
  const node = await DebugNode.start(undefined, { remotePort: port, logFd: openSync(file, 'a') });
  t.teardown(() => node[Symbol.asyncDispose]());
  await node.thread.ready;
  await node.serve('main', host, {
    condition: () => ready,
    kubectl: () => ({ command: ['/bin/true'] }),
    setConditions: () => ({}),
    ...ofHost,
  });
  let given: Pki | Error = first;
  const changes = new EventEmitter();
  await node.serve('certs', certs, {
    async *renewals(_request, { signal }) {
      for (let revision = 1; !signal.aborted; revision++) {
        yield { revision, thorough: false, overdue: false };
        await once(changes, 'renewed', { signal });
      }
    },
    credentials({ holder }) {
      if (given instanceof Error) throw given;
      const files = credentialFiles(given, holder, { apiserverPort: 6443, secretsFolder: '/run/secrets' });
      return { files };
    },
    debugKubeconfig: () => ({ kubeconfig: 'apiVersion: v1\n', expiresAtMs: 1_800_000_000_000 }),
    debugClient: () => ({ pem: 'a certificate\n', expiresAtMs: 1_800_000_000_000 }),
  });
  const admin = path.join(t.testdirName, 'admin.pem');
  writeFileSync(admin, await certificate(first, ['admin']));
  // It listens when it has its credentials, from a service that was not there before.
  const listens = async () => ((await accepts(port)) ? true : undefined);
  await poll(listens, { everyMs: 50, timeoutMs: 30_000, what: 'the listener for other machines' });
  return {
    ...{ node, port, admin },
    log: () => linesIn(file),
    renew(next) {
      given = next;
      changes.emit('renewed');
    },
  };
}

export function linesIn(file: string): LogLine[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as LogLine);
}

/** What `dbg client-certificate` prints, for any roles, times and authorities. */
export async function certificate(
  of: Pki,
  roles: readonly (keyof typeof roleGroups)[],
  options: {
    readonly name?: string;
    readonly issuer?: Profile['issuer'];
    readonly issuedMs?: number;
    readonly lifetimeMs?: number;
  } = {},
): Promise<string> {
  const { name = 'jane', issuer = 'debug-ca', issuedMs = Date.now(), lifetimeMs = 60_000 } = options;
  const groups = roles.map((role) => roleGroups[role]);
  const times = { nowMs: issuedMs, lifetimeMs };
  const profile = { ...client(name, groups), issuer };
  const issued = await issueClient(jobs, of.authorities, profile, times, never);
  const key = createPrivateKey({ key: Buffer.from(issued.privateKey), format: 'der', type: 'pkcs8' });
  const own = new X509Certificate(issued.certificate).toString();
  return `${own}${privateKeyPem(key)}${bundle(of, 'debug-ca')}`;
}

export interface Ended {
  readonly code: number | null;
  readonly stderr: string;
}

export interface DbgOptions {
  /** The file with a client certificate; none unless given. */
  readonly pem?: string;
  readonly uid?: number;
  readonly gid?: number;
}

/** Runs dbg at an endpoint, as a user if this is root. */
export async function dbg(
  endpoint: string,
  args: readonly string[],
  options: DbgOptions = {},
): Promise<Ended> {
  const { pem = '', uid = 0, gid = uid } = options;
  // Without what tap gives to every Node process: it writes a file at the end, where other users may not.
  const command = ['-u', 'NODE_OPTIONS', process.execPath, dbgFile, '--endpoint', endpoint, ...args];
  const child = spawn('env', command, {
    ...(process.geteuid?.() === 0 && { uid, gid }),
    cwd: '/',
    env: { ...process.env, DBG_CERT: pem },
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  child.stdout.resume();
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stderr };
}

/** A connection that says nothing by itself; closed already when it is not let in. */
export async function opened(where: { port: number } | { path: string }): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', ...where });
  socket.on('error', () => undefined).resume();
  await new Promise<void>((resolve) => {
    socket.once('connect', resolve).once('close', () => resolve());
  });
  return socket;
}

/** So many of them, opened a hundred at a time. */
export async function silence(where: { port: number } | { path: string }, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    sockets.push(...(await Promise.all(Array.from({ length: 100 }, () => opened(where)))));
  }
  return sockets;
}

async function accepts(port: number): Promise<boolean> {
  const socket = await opened({ port });
  socket.destroy();
  return socket.errored === null;
}
