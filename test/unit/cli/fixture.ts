import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { nodeDebugService } from '../../../src/gen/hamlet/debug/v1/debug.js';
import { HamletError } from '../../../src/lib/errors.js';
import { type ServiceHandlers, listen } from '../../../src/workers/debug/grpc.js';
import { debugRoles } from '../../../src/workers/debug/handlers.js';

export const dbgFile = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));

type DebugHandlers = ServiceHandlers<typeof nodeDebugService>;

/** Serves the debug API by gRPC with the handlers given, on a free port. Gives its endpoint. */
export async function serveDebugApi(t: Test, handlers: Partial<DebugHandlers>): Promise<string> {
  const missing = async () => {
    throw new HamletError('UNAVAILABLE', 'not part of this test');
  };
  const server = await listen(
    nodeDebugService,
    {
      getDebugKubeconfig: missing,
      getComponentLogs: missing,
      streamComponentLogs: () => ({ [Symbol.asyncIterator]: () => ({ next: missing }) }),
      getCondition: missing,
      listConditions: missing,
      listRestarts: missing,
      getBoot: missing,
      listCertificates: missing,
      listIssuedCredentials: missing,
      rotateAuthorities: missing,
      issueDebugClient: missing,
      ...handlers,
    },
    {
      address: '127.0.0.1',
      port: 0,
      roles: debugRoles,
      log: {
        error: (fields, message) => t.fail(message, fields),
        warn: () => undefined,
        info: () => undefined,
      },
    },
  );
  t.teardown(() => server.close(0));
  return `127.0.0.1:${server.port}`;
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface DbgOptions {
  readonly endpoint?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
}

/** The environment of a child: this one's, without what would change dbg's ways. */
export function environment({ endpoint, env }: DbgOptions): NodeJS.ProcessEnv {
  const { DBG_ENDPOINT: _endpoint, KUBECONFIG: _kubeconfig, XDG_RUNTIME_DIR: _dir, ...rest } = process.env;
  return { ...rest, ...(endpoint === undefined ? {} : { DBG_ENDPOINT: endpoint }), ...env };
}

/** Starts the real program. */
export function startDbg(args: readonly string[], options: DbgOptions = {}) {
  return spawn(process.execPath, [dbgFile, ...args], { env: environment(options) });
}

/** Runs the real program to its end. */
export async function dbg(args: readonly string[], options: DbgOptions = {}): Promise<Ended> {
  const child = startDbg(args, options);
  child.stdin.end(options.input ?? '');
  return ended(child);
}

/** Waits for a program's end and gives all that it wrote. */
export async function ended(child: ChildProcess): Promise<Ended> {
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => {
    const chunks: Buffer[] = [];
    stream?.on('data', (chunk: Buffer) => chunks.push(chunk));
    return chunks;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout: Buffer.concat(stdout ?? []), stderr: Buffer.concat(stderr ?? []).toString() };
}

/** Another user's process that listens on a port of an address, and ends with 1 when somebody connects. */
export async function listenAs(uid: number, address: string) {
  const script = `
    const server = require('net').createServer(() => process.exit(1));
    server.listen(0, process.argv[1], () => console.log(server.address().port));`;
  const child = spawn(process.execPath, ['-e', script, address], {
    ...{ uid, gid: uid, cwd: '/', env: {} },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { port: Number(line), child };
}
