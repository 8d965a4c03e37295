import type { Socket } from 'node:net';
import { ROUTER_SLOT } from '../ipc/frame.js';

/**
 * What may wait for one destination from one source. Requests are what a caller can send without end; what else
 * there is comes under credit and has more room, because losing it ends every call between the two.
 */
export const QUEUE_LIMITS = {
  requests: { bytes: 8 * 1024 * 1024, frames: 8_192 },
  others: { bytes: 64 * 1024 * 1024, frames: 1_048_576 },
  notices: { bytes: 16 * 1024 * 1024 },
} as const;

interface Entry {
  readonly part: Buffer;
  readonly frames: number;
  readonly load: Load;
}

/** What waits of one kind. */
interface Load {
  bytes: number;
  frames: number;
}

/** What waits from one source. */
interface Share {
  readonly requests: Load;
  readonly others: Load;
  /** Frames were lost: nothing but requests passes until what was queued before has gone out. */
  broken: boolean;
}

/**
 * - `sent`: written or queued;
 * - `full`: requests that have no room;
 * - `broken`: the first frames of another kind that have no room, so that calls between the two are damaged;
 * - `dropped`: more of those.
 */
export type Verdict = 'sent' | 'full' | 'broken' | 'dropped';

/** What goes to one peer: written at once while its socket takes it, else kept, within limits for each source. */
export class Outbox {
  readonly #socket: Socket;
  readonly #shares = new Map<number, Share>();
  #queue: Entry[] = [];
  #head = 0;
  #blocked = false;
  #bytes = 0;
  #frames = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('drain', () => this.#drain());
  }

  get queuedBytes(): number {
    return this.#bytes;
  }

  get queuedFrames(): number {
    return this.#frames;
  }

  /** Sends `parts`, which joined are `frames` whole frames from the endpoint at slot `source`. */
  send(source: number, requests: boolean, parts: readonly Buffer[], frames: number): Verdict {
    if (!this.#blocked) {
      for (const part of parts) this.#write(part);
      return 'sent';
    }
    const share = this.#share(source);
    if (share.broken && share.others.frames === 0) share.broken = false;
    if (share.broken && !requests) return 'dropped';
    const load = requests ? share.requests : share.others;
    const limits = requests ? QUEUE_LIMITS.requests : QUEUE_LIMITS.others;
    if (load.bytes >= limits.bytes || load.frames + frames > limits.frames) {
      if (requests) return 'full';
      share.broken = true;
      return 'broken';
    }
    for (const [index, part] of parts.entries()) this.#push(load, part, index === 0 ? frames : 0);
    return 'sent';
  }

  /**
   * Sends a frame of the router's own: one for each refused call or lost peer.
   * False if there is no room: a peer that goes on sending without ever reading the answers.
   */
  notice(frame: Buffer): boolean {
    if (!this.#blocked) {
      this.#write(frame);
      return true;
    }
    const load = this.#share(ROUTER_SLOT).others;
    if (load.bytes >= QUEUE_LIMITS.notices.bytes) return false;
    this.#push(load, frame, 1);
    return true;
  }

  /** The endpoint at slot `source` is gone; its successor starts with a clean record. */
  forget(source: number): void {
    const share = this.#shares.get(source);
    if (share !== undefined) share.broken = false;
  }

  clear(): void {
    this.#queue = [];
    this.#head = 0;
    this.#bytes = 0;
    this.#frames = 0;
    this.#shares.clear();
  }

  #share(source: number): Share {
    let share = this.#shares.get(source);
    if (share === undefined) {
      share = { requests: { bytes: 0, frames: 0 }, others: { bytes: 0, frames: 0 }, broken: false };
      this.#shares.set(source, share);
    }
    return share;
  }

  #write(part: Buffer): void {
    if (!this.#socket.write(part)) this.#blocked = true;
  }

  #push(load: Load, part: Buffer, frames: number): void {
    // A slice keeps its whole chunk alive; one that is much smaller is not worth that while it waits.
    const kept = part.length * 2 < part.buffer.byteLength ? Buffer.from(part) : part;
    this.#queue.push({ part: kept, frames, load });
    this.#bytes += part.length;
    this.#frames += frames;
    load.bytes += part.length;
    load.frames += frames;
  }

  #drain(): void {
    this.#blocked = false;
    if (this.#head === this.#queue.length) return;
    this.#socket.cork();
    for (let entry = this.#queue[this.#head]; entry !== undefined; entry = this.#queue[this.#head]) {
      this.#head += 1;
      this.#bytes -= entry.part.length;
      this.#frames -= entry.frames;
      entry.load.bytes -= entry.part.length;
      entry.load.frames -= entry.frames;
      if (!this.#socket.write(entry.part)) {
        this.#blocked = true;
        break;
      }
    }
    this.#socket.uncork();
    if (this.#head * 2 >= this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }
}
