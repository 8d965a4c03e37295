import { chmodSync, chownSync, renameSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { HamletError, errnoOf } from '../../lib/errors.js';
import { limits, type Refusals } from './limits.js';
import { adminGroup, groupId, tcpPeer, unixPeer, type Peer } from './peer.js';

export interface Listener {
  /** The TCP port; 0 on a Unix socket. */
  readonly port: number;
  close(): void;
}

/** Takes connections that have passed the gate. */
export type OnConnection = (socket: Socket, peer: Peer) => void;

/**
 * Listens on a Unix socket that root and the group `hamlet` may open, root alone when there is no such group. What an
 * earlier run has left in its place is replaced. Throws FAILED_PRECONDITION when that cannot be done.
 */
export async function listenUnix(file: string, gate: Gate, onConnection: OnConnection): Promise<Listener> {
  // Made under another name: under its own it is there with the right permissions or not at all.
  const temporary = `${file}.new`;
  const server = createServer((socket) => gate.admit(socket, unixPeer(socket), onConnection));
  try {
    rmSync(temporary, { force: true });
    await listening(server, { path: temporary });
    const gid = groupId(adminGroup);
    if (gid !== undefined && process.geteuid?.() === 0) {
      chownSync(temporary, 0, gid);
      chmodSync(temporary, 0o660);
    } else {
      chmodSync(temporary, 0o600);
    }
    renameSync(temporary, file);
  } catch (cause) {
    server.close();
    throw new HamletError('FAILED_PRECONDITION', `cannot listen on ${file}`, { cause });
  }
  return {
    port: 0,
    close() {
      server.close();
      rmSync(file, { force: true });
    },
  };
}

/**
 * Listens on a loopback address; who calls is told by the kernel. Throws ALREADY_EXISTS when the port is taken,
 * INVALID_ARGUMENT when the address is not one of this machine's, both with `address` and `port` in the details.
 */
export async function listenTcp(
  address: string,
  port: number,
  gate: Gate,
  onConnection: OnConnection,
): Promise<Listener> {
  const server = createServer((socket) => gate.admit(socket, tcpPeer(socket), onConnection));
  try {
    await listening(server, { host: address, port, exclusive: true });
  } catch (cause) {
    const details = { address, port };
    if (errnoOf(cause) === 'EADDRINUSE') {
      throw new HamletError('ALREADY_EXISTS', `port ${port} on ${address} is taken`, { cause, details });
    }
    throw new HamletError('INVALID_ARGUMENT', `cannot listen on ${address}:${port}`, { cause, details });
  }
  const bound = server.address();
  return { port: typeof bound === 'object' ? (bound?.port ?? 0) : 0, close: () => void server.close() };
}

/** Counts connections, and cuts off those that are too many or say nothing. */
export class Gate {
  readonly #refusals: Refusals;
  readonly #open = new Map<Socket, string>();

  constructor(refusals: Refusals) {
    this.#refusals = refusals;
  }

  admit(socket: Socket, peer: Peer, onConnection: OnConnection): void {
    const caller = callerOf(peer);
    socket.on('error', () => socket.destroy());
    if (!this.#hasRoom(caller, peer)) {
      this.#refusals.note(
        `connections ${caller}`,
        `${caller} has too many connections open to the debug API`,
      );
      socket.destroy();
      return;
    }
    this.#open.set(socket, caller);
    const silence = setTimeout(() => {
      if (socket.bytesRead > 0) return;
      this.#refusals.note(
        `silence ${caller}`,
        `${caller} has opened a connection to the debug API and said nothing`,
      );
      socket.destroy();
    }, limits.maxSilenceMs);
    socket.once('close', () => {
      clearTimeout(silence);
      this.#open.delete(socket);
    });
    onConnection(socket, peer);
  }

  /** Waits until every connection is closed, and cuts off those that are not after `patienceMs`. */
  async close(patienceMs: number): Promise<void> {
    const impatient = setTimeout(() => {
      for (const socket of this.#open.keys()) socket.destroy();
    }, patienceMs);
    await Promise.all([...this.#open.keys()].map((socket) => once(socket, 'close')));
    clearTimeout(impatient);
  }

  /** A user who fills their share leaves room for the others, and whoever has the file's permission always gets in. */
  #hasRoom(caller: string, peer: Peer): boolean {
    const own = [...this.#open.values()].filter((other) => other === caller).length;
    if (peer.transport === 'unix') return own < limits.maxConnections;
    return own < limits.maxConnectionsOfUser && this.#open.size < limits.maxConnections;
  }
}

/** "user 1000", "the Unix socket": whose calls are counted together. */
export function callerOf(peer: Peer): string {
  if (peer.transport === 'unix') return 'the Unix socket';
  return peer.uid === undefined ? 'an unknown user' : `user ${peer.uid}`;
}

async function listening(server: Server, where: Parameters<Server['listen']>[0]): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, resolve);
  });
}
