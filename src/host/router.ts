import { chmod, mkdir, rm } from 'node:fs/promises';
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { type ErrorCode, HamletError, messageOf } from '../lib/errors.js';
import { decode, encode } from '../ipc/codec.js';
import { type MeshLog, SOCKET_BUFFER_BYTES } from '../ipc/connection.js';
import { toWire } from '../ipc/errors.js';
import { FLAG_MESH, FrameType, HEADER_BYTES, makeFrame, Offset, ROUTER_SLOT, slotOf } from '../ipc/frame.js';
import { Hello, type Welcome } from '../ipc/handshake.js';
import { type Endpoint, type Place, planPlaces } from './endpoints.js';
import { Outbox } from './outbox.js';
import { Splitter } from './splitter.js';

/** A connection that has not said HELLO within this time is closed. */
const HELLO_MS = 10_000;
/** A HELLO is small; before it, nobody gets to have more buffered. */
const MAX_HELLO_BYTES = 4 * 1024;

export type { Endpoint };

export interface RouterOptions {
  /** The path of the socket. Its folder is made if it is missing, and closed to everybody else. */
  readonly path: string;
  readonly endpoints: readonly Endpoint[];
  readonly log: MeshLog;
}

/** A declared endpoint, connected or not. */
interface Seat extends Place {
  secret: Buffer | undefined;
  generation: number;
  peer: Peer | undefined;
}

/** A connection that has said HELLO. */
interface Peer {
  readonly seat: Seat;
  readonly address: number;
  readonly socket: Socket;
  readonly outbox: Outbox;
}

export interface PeerStats {
  readonly name: string;
  readonly connected: boolean;
  readonly queuedBytes: number;
  readonly queuedFrames: number;
}

/**
 * The mesh's switch. It reads headers, stamps the true source and passes frames on as they came; a body is
 * decoded only in the handshake.
 */
export class Router {
  readonly path: string;
  readonly #log: MeshLog;
  readonly #server: Server;
  /** By slot. */
  readonly #seats: (Seat | undefined)[] = [];
  readonly #byName = new Map<string, Seat>();
  readonly #sockets = new Set<Socket>();

  private constructor(options: RouterOptions, server: Server) {
    this.path = options.path;
    this.#log = options.log;
    this.#server = server;
    for (const place of planPlaces(options.endpoints)) {
      const seat = { ...place, secret: undefined, generation: 0, peer: undefined };
      this.#seats[place.slot] = seat;
      this.#byName.set(place.name, seat);
    }
    server.on('connection', (socket) => this.#accept(socket));
  }

  /**
   * Listens. Throws INVALID_ARGUMENT if the declarations do not fit together (a service served twice, or called
   * and served by nobody), UNAVAILABLE if the socket cannot be made.
   */
  static async listen(options: RouterOptions): Promise<Router> {
    const server = createServer({ highWaterMark: SOCKET_BUFFER_BYTES });
    const router = new Router(options, server);
    try {
      await mkdir(dirname(options.path), { recursive: true, mode: 0o700 });
      await chmod(dirname(options.path), 0o700);
      await rm(options.path, { force: true });
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(options.path, () => {
          server.removeListener('error', reject);
          resolve();
        });
      });
    } catch (cause) {
      throw new HamletError('UNAVAILABLE', `the mesh's socket ${options.path}: ${messageOf(cause)}`, {
        cause,
      });
    }
    server.on('error', (err) => options.log.error({ err }, "the mesh's socket has failed"));
    return router;
  }

  /** Gives a fresh secret for one connection under `name`. An older one is void, and so is what it opened. */
  admit(name: string): string {
    const seat = this.#byName.get(name);
    if (seat === undefined) throw new HamletError('NOT_FOUND', `${name} is not declared to the router`);
    this.#drop(seat, 'it is started again');
    seat.secret = randomBytes(32);
    return seat.secret.toString('base64url');
  }

  /** Ends the connection under `name`, if there is one; its callers get UNAVAILABLE. */
  disconnect(name: string, why: string): void {
    const seat = this.#byName.get(name);
    if (seat === undefined) return;
    seat.secret = undefined;
    this.#drop(seat, why);
  }

  /** What waits for each endpoint in the router's memory. */
  stats(): PeerStats[] {
    return [...this.#byName.values()].map(({ name, peer }) => ({
      name,
      connected: peer !== undefined,
      queuedBytes: peer?.outbox.queuedBytes ?? 0,
      queuedFrames: peer?.outbox.queuedFrames ?? 0,
    }));
  }

  /** Closes every connection and the socket. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #drop(seat: Seat, why: string): void {
    const { peer } = seat;
    if (peer === undefined) return;
    this.#log.debug({ peer: seat.name, why }, 'connection ended');
    peer.socket.destroy();
    this.#gone(peer);
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    const state: { peer: Peer | undefined } = { peer: undefined };
    const refuse = (fault: string, code: ErrorCode = 'INVALID_ARGUMENT') => {
      this.#log.warn({ peer: state.peer?.seat.name ?? 'unknown', fault }, 'connection closed');
      splitter.stop();
      const error = encode(toWire(new HamletError(code, fault)));
      if (state.peer === undefined) socket.end(makeFrame(FrameType.ERROR, FLAG_MESH, 0, 0, 0, error));
      // Whoever was refused gets to read why, but not to keep the connection.
      setTimeout(() => socket.destroy(), state.peer === undefined ? 100 : 0);
      if (state.peer !== undefined) this.#gone(state.peer);
    };
    const splitter = new Splitter({
      maxBodyBytes: MAX_HELLO_BYTES,
      hello: (body) => {
        const peer = this.#hello(socket, body);
        if (peer instanceof HamletError) return refuse(peer.message, peer.code);
        state.peer = peer;
        splitter.open(peer.address);
        clearTimeout(timer);
      },
      run: (destination, requests, parts, frames) => {
        if (state.peer !== undefined) this.#forward(state.peer, destination, requests, parts, frames);
      },
      fault: (fault) => refuse(fault),
    });
    const timer = setTimeout(() => refuse('no HELLO in time'), HELLO_MS);
    socket.on('data', (chunk) => splitter.read(chunk));
    socket.on('error', (err) => {
      this.#log.debug({ err, peer: state.peer?.seat.name ?? 'unknown' }, 'connection failed');
    });
    socket.on('close', () => {
      clearTimeout(timer);
      this.#sockets.delete(socket);
      if (state.peer !== undefined) this.#gone(state.peer);
    });
  }

  /** Checks a HELLO and takes the peer in. Gives what is wrong with it, if anything is. */
  #hello(socket: Socket, body: Buffer): Peer | HamletError {
    let hello: Hello;
    try {
      hello = v.parse(Hello, decode({ buffer: body, start: 0, end: body.length, owned: true }));
    } catch (error) {
      return new HamletError('INVALID_ARGUMENT', `a malformed HELLO: ${messageOf(error)}`);
    }
    const seat = this.#byName.get(hello.name);
    const secret = Buffer.from(hello.secret, 'base64url');
    if (seat?.secret?.length !== secret.length || !timingSafeEqual(seat.secret, secret)) {
      return new HamletError('UNAUTHENTICATED', 'the name and the secret do not fit');
    }
    seat.secret = undefined;
    this.#drop(seat, 'a new connection has its name');
    seat.generation = (seat.generation % 255) + 1;
    const address = seat.generation * 256 + seat.slot;
    const peer = { seat, address, socket, outbox: new Outbox(socket) };
    seat.peer = peer;
    const welcome: Welcome = { ...seat.welcome, address };
    peer.outbox.notice(makeFrame(FrameType.HELLO, 0, ROUTER_SLOT, address, 0, encode(welcome)));
    this.#log.debug({ peer: seat.name, address }, 'connected');
    return peer;
  }

  /** Passes frames on that follow each other in the stream of `from` and go to one destination. */
  #forward(
    from: Peer,
    destination: number,
    requests: boolean,
    parts: readonly Buffer[],
    frames: number,
  ): void {
    const seat = this.#seats[slotOf(destination)];
    const to = seat?.peer;
    if (seat === undefined || to === undefined || (destination > 255 && destination !== to.address)) {
      if (requests) this.#refuse(from, parts, 'UNAVAILABLE', `${seat?.name ?? 'nobody'} is not there`);
      return;
    }
    if (!(requests ? from.seat.mayCall : from.seat.mayReach)[seat.slot]) {
      if (requests)
        this.#refuse(from, parts, 'PERMISSION_DENIED', `${from.seat.name} may not call ${seat.name}`);
      return;
    }
    switch (to.outbox.send(from.seat.slot, requests, parts, frames)) {
      case 'sent':
        return;
      case 'full':
        return this.#refuse(from, parts, 'RESOURCE_EXHAUSTED', `${seat.name} does not keep up`);
      case 'broken': {
        const message = `${seat.name} does not read what ${from.seat.name} sends`;
        this.#log.warn(
          { from: from.seat.name, to: seat.name },
          'a queue is full: the calls between the two are ended',
        );
        this.#reset(to, from.address, 'RESOURCE_EXHAUSTED', message);
        this.#reset(from, to.address, 'RESOURCE_EXHAUSTED', message);
        return;
      }
      case 'dropped':
        return;
    }
  }

  /** Answers each request among the frames of a run with an error, in the name of its destination. */
  #refuse(
    to: Peer,
    parts: readonly Buffer[],
    code: 'UNAVAILABLE' | 'PERMISSION_DENIED' | 'RESOURCE_EXHAUSTED',
    message: string,
  ): void {
    const body = Buffer.from(encode({ code, message }));
    const run = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
    for (let at = 0; at < run.length; at += HEADER_BYTES + run.readUInt32BE(at)) {
      const destination = run.readUInt16BE(at + Offset.DESTINATION);
      const call = run.readUInt32BE(at + Offset.CALL);
      this.#notify(to, makeFrame(FrameType.ERROR, FLAG_MESH, destination, to.address, call, body));
    }
  }

  /** Tells `to` that all calls between it and the peer at `address` are over. */
  #reset(to: Peer, address: number, code: 'UNAVAILABLE' | 'RESOURCE_EXHAUSTED', message: string): void {
    const body = encode({ code, message });
    this.#notify(to, makeFrame(FrameType.ERROR, FLAG_MESH, address, to.address, 0, body));
  }

  #notify(to: Peer, frame: Buffer): void {
    if (to.outbox.notice(frame)) return;
    this.#log.warn({ peer: to.seat.name }, 'connection ended: it sends without reading');
    this.#drop(to.seat, 'it sends without reading');
  }

  #gone(peer: Peer): void {
    if (peer.seat.peer !== peer) return;
    peer.seat.peer = undefined;
    peer.outbox.clear();
    for (const other of this.#byName.values()) {
      other.peer?.outbox.forget(peer.seat.slot);
      if (other.peer === undefined || !other.mayReach[peer.seat.slot]) continue;
      this.#reset(other.peer, peer.address, 'UNAVAILABLE', `${peer.seat.name} is gone`);
    }
  }
}
