import { constants } from 'node:crypto';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server, type TLSSocket } from 'node:tls';
import { errnoOf, messageOf } from '../../lib/errors.js';
import { connectionBudget, limits, type Refusals } from './limits.js';
import { Gate, listenOn, type Listener, type OnConnection } from './listener.js';
import { certifiedPeer, remotePeer, type Peer } from './peer.js';

/** Where clients on other machines are let in; the section `debug.remote` of the configuration. */
export interface RemoteOptions {
  readonly address: string;
  readonly port: number;
}

/** What the node shows, and by whom it knows its clients; PEM. */
export interface TlsCredentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** What it takes to hand connections on. */
export interface Door {
  readonly refusals: Refusals;
  readonly take: OnConnection;
}

/**
 * Where clients on other machines get in: with a certificate of the node's debug CA, and not without. Of a connection
 * that has not shown one nothing gets further than OpenSSL's handshake.
 */
export class RemoteListener {
  readonly #door: Door;
  readonly #tls: Server;
  /** Those whose handshake is under way. None of them has a right to stay: the next one takes the oldest one's place. */
  readonly #strangers: Gate;
  readonly #clients: Gate;
  /** The connections below the handshakes under way, by their ends. */
  readonly #raw = new Map<string, Socket>();
  #listener: Listener | undefined;

  constructor(credentials: TlsCredentials, door: Door) {
    this.#door = door;
    this.#strangers = new Gate(door.refusals, {
      isIdle: () => true,
      begun: connectionBudget(() => performance.now()),
    });
    this.#clients = new Gate(door.refusals);
    this.#tls = createTlsServer({
      ...tlsOptions(credentials),
      ALPNProtocols: ['h2'],
      requestCert: true,
      // Refused below, where there are words for why.
      rejectUnauthorized: false,
      handshakeTimeout: limits.maxHandshakeMs,
    });
    this.#tls.on('secureConnection', (socket) => this.#welcome(socket));
    this.#tls.on('tlsClientError', (error, socket) => this.#handshakeFailed(error, socket));
  }

  /** Throws what listenTcp() throws. */
  async listen({ address, port }: RemoteOptions): Promise<void> {
    const shake = (socket: Socket): void => {
      const key = endsOf(socket);
      this.#raw.set(key, socket);
      socket.once('close', () => this.#raw.delete(key));
      this.#tls.emit('connection', socket);
    };
    const server = createTcpServer((socket) => this.#strangers.admit(socket, remotePeer(socket), shake));
    this.#listener = await listenOn(server, address, port);
  }

  /** Uses these from the next handshake on; who is connected stays connected. */
  renew(credentials: TlsCredentials): void {
    this.#tls.setSecureContext(tlsOptions(credentials));
  }

  /** Takes no more connections, and gives those that are open `patienceMs` to end. */
  async close(patienceMs: number): Promise<void> {
    this.#listener?.close();
    await Promise.all([this.#strangers.close(0), this.#clients.close(patienceMs)]);
  }

  #welcome(socket: TLSSocket): void {
    // Before anything can fail: an error without a listener would end the thread.
    socket.on('error', () => socket.destroy());
    const raw = this.#raw.get(endsOf(socket));
    if (raw !== undefined) this.#strangers.release(raw);
    let peer: Peer;
    try {
      peer = certifiedPeer(socket, Date.now());
    } catch (error) {
      this.#refuse(socket, messageOf(error));
      return;
    }
    endWithCertificate(socket);
    this.#clients.admit(socket, peer, this.#door.take);
  }

  #handshakeFailed(error: Error, socket: TLSSocket): void {
    // Whoever has gone by themselves, or was sent away already, is not refused anything.
    if (errnoOf(error) === 'ECONNRESET' || errnoOf(error) === 'EPIPE') socket.destroy();
    else
      this.#refuse(socket, `its handshake fails (${'code' in error ? String(error.code) : error.message})`);
  }

  #refuse(socket: TLSSocket, reason: string): void {
    const address = socket.remoteAddress ?? 'somebody who has gone';
    this.#door.refusals.note(`tls ${address} ${reason}`, `${address} is refused: ${reason}`);
    socket.destroy();
  }
}

function tlsOptions(credentials: TlsCredentials) {
  return {
    ...credentials,
    // Nobody older is to be expected, and there is no renegotiation in it.
    minVersion: 'TLSv1.3',
    // Each connection shows its certificate: one that is resumed would bring what was found of it before.
    secureOptions: constants.SSL_OP_NO_TICKET,
  } as const;
}

function endsOf({ localAddress, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${remoteAddress} ${remotePort}`;
}

/** Nobody stays connected for longer than their certificate is good for; that is a day at most. */
function endWithCertificate(socket: TLSSocket): void {
  const endsAtMs = Date.parse(socket.getPeerX509Certificate()?.validTo ?? '');
  const end = setTimeout(() => socket.destroy(), Math.max(0, endsAtMs - Date.now()));
  socket.once('close', () => clearTimeout(end));
}
