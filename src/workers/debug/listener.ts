import { chmodSync, chownSync, renameSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { HamletError, errnoOf } from '../../lib/errors.js';
import { limits, type Budget, type Refusals } from './limits.js';
import { adminGroup, groupId, tcpPeers, unixPeer, type Peer } from './peer.js';

export interface Listener {
  /** The TCP port; 0 on a Unix socket. */
  readonly port: number;
  close(): void;
}

/**
 * How long not to look who has connected over loopback after looking, in times of what that took: a look takes ten
 * milliseconds, whatever it finds, and whoever only connects and says nothing must not take all of this thread's time.
 */
const pausePerLook = 4;

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
  const arrived: Socket[] = [];
  let nextLookAtMs = 0;
  const admitAll = (): void => {
    const sockets = arrived.splice(0);
    const beganMs = performance.now();
    const peers = tcpPeers(sockets);
    const endedMs = performance.now();
    nextLookAtMs = endedMs + (endedMs - beganMs) * pausePerLook;
    for (const [index, peer] of peers.entries()) {
      const socket = sockets[index];
      if (socket !== undefined && !socket.destroyed) gate.admit(socket, peer, onConnection);
    }
  };
  // All that arrive in one turn of the event loop, or until it may be looked again, are looked up together.
  const admitSoon = (): void => {
    const waitMs = nextLookAtMs - performance.now();
    if (waitMs > 0) setTimeout(admitAll, waitMs);
    else setImmediate(admitAll);
  };
  const server = createServer((socket) => {
    // The gate does the same, but has not seen it yet.
    socket.on('error', () => socket.destroy());
    if (arrived.push(socket) === 1) admitSoon();
  });
  return listenOn(server, address, port);
}

/** Has a server listen on an address; throws as listenTcp() does. */
export async function listenOn(server: Server, address: string, port: number): Promise<Listener> {
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

export interface GateOptions {
  /** How many connections one caller may have open. */
  readonly ofCaller?: number;
  /** Whether a connection gives way to a new one; by default one that has said nothing yet does. */
  readonly isIdle?: (socket: Socket) => boolean;
  /**
   * How many connections a caller may begin. One is begun at its first byte and costs nothing before, so that silence
   * takes nothing from those who have something to say. Without it connections are handed on at once.
   */
  readonly begun?: Budget;
}

/** Counts a listener's connections, and cuts off those that are too many, begun too fast, or say nothing. */
export class Gate {
  readonly #refusals: Refusals;
  readonly #ofCaller: number;
  readonly #isIdle: (socket: Socket) => boolean;
  readonly #begun: Budget | undefined;
  /** In the order of their arrival. */
  readonly #open = new Map<Socket, string>();

  constructor(refusals: Refusals, options: GateOptions = {}) {
    const { ofCaller = limits.maxConnectionsOfCaller, isIdle = isSilent, begun } = options;
    this.#refusals = refusals;
    this.#ofCaller = ofCaller;
    this.#isIdle = isIdle;
    this.#begun = begun;
  }

  admit(socket: Socket, peer: Peer, onConnection: OnConnection): void {
    const caller = callerOf(peer);
    // Users without a role are one: there can be any number of them.
    const owner = peer.transport === 'tcp' && peer.role === 'none' ? 'users without a role' : caller;
    socket.on('error', () => socket.destroy());
    const crowd = this.#crowd(owner);
    if (crowd !== undefined) {
      this.#refusals.note(
        `connections ${caller}`,
        `${caller} has too many connections open to the debug API`,
      );
      const idle = crowd.find(this.#isIdle);
      if (idle === undefined) {
        socket.destroy();
        return;
      }
      this.release(idle);
      idle.destroy();
    }
    this.#open.set(socket, owner);
    const silence = setTimeout(() => {
      if (!isSilent(socket)) return;
      this.#refusals.note(
        `silence ${caller}`,
        `${caller} has opened a connection to the debug API and said nothing`,
      );
      socket.destroy();
    }, limits.maxSilenceMs);
    socket.once('close', () => {
      clearTimeout(silence);
      this.release(socket);
    });
    const budget = this.#begun;
    if (budget === undefined) {
      onConnection(socket, peer);
      return;
    }
    atFirstByte(socket, () => {
      if (budget.take(owner)) {
        onConnection(socket, peer);
        return;
      }
      this.#refusals.note(`begun ${caller}`, `${caller} begins too many connections to the debug API`);
      socket.destroy();
    });
  }

  /** Does not count a connection any longer. */
  release(socket: Socket): void {
    this.#open.delete(socket);
  }

  /** Waits until every connection is closed, and cuts off those that are not after `patienceMs`. */
  async close(patienceMs: number): Promise<void> {
    const impatient = setTimeout(() => {
      for (const socket of this.#open.keys()) socket.destroy();
    }, patienceMs);
    await Promise.all([...this.#open.keys()].map((socket) => once(socket, 'close')));
    clearTimeout(impatient);
  }

  /** Those of whom one has to go before this caller gets in; its own first, so that nobody takes the others' places. */
  #crowd(owner: string): readonly Socket[] | undefined {
    const own = [...this.#open].flatMap(([socket, other]) => (other === owner ? [socket] : []));
    if (own.length >= this.#ofCaller) return own;
    return this.#open.size >= limits.maxConnections ? [...this.#open.keys()] : undefined;
  }
}

/** Whoever takes the socket then, TLS or HTTP/2, finds what has been read in it. */
function atFirstByte(socket: Socket, act: () => void): void {
  socket.once('readable', () => {
    // The end is readable, too.
    if (socket.readableLength > 0) act();
    else socket.destroy();
  });
}

function isSilent(socket: Socket): boolean {
  return socket.bytesRead === 0;
}

/** "user 1000", "the Unix socket": whose calls are counted together. */
export function callerOf(peer: Peer): string {
  if (peer.transport === 'unix') return 'the Unix socket';
  if (peer.certificate !== undefined) return `client ${peer.certificate.name}`;
  if (peer.transport === 'tls') return `address ${peer.address ?? 'unknown'}`;
  return peer.uid === undefined ? 'an unknown user' : `user ${peer.uid}`;
}

async function listening(server: Server, where: Parameters<Server['listen']>[0]): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, resolve);
  });
}
