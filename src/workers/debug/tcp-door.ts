import { messageOf } from '../../lib/errors.js';
import { sleep } from '../../lib/time.js';
import { listenTcp, type Gate, type Listener, type OnConnection } from './listener.js';

/** How long to wait before the next try of a port that cannot be had, at first and at most, in milliseconds. */
const firstRetryMs = 1_000;
const maxRetryMs = 30_000;

export interface TcpDoorOptions {
  readonly address: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly gate: Gate;
  readonly take: OnConnection;
  /** Whether there is another way in meanwhile; without one a port that cannot be had is an error. */
  readonly mayWait: boolean;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

/**
 * A port on loopback. Any user of the machine may have taken it while nobody listened, and that must not close the Unix
 * socket to root: it is told once, and tried again until the port is free.
 */
export class TcpDoor {
  readonly #options: TcpDoorOptions;
  readonly #closed = new AbortController();
  #listener: Listener | undefined;

  private constructor(options: TcpDoorOptions) {
    this.#options = options;
  }

  /** Throws what listenTcp() throws where that cannot be waited for. */
  static async open(options: TcpDoorOptions): Promise<TcpDoor> {
    const door = new TcpDoor(options);
    try {
      await door.#listen();
    } catch (error) {
      if (!options.mayWait) throw error;
      options.log.warn(
        { err: error },
        `${messageOf(error)}; the Unix socket is open, and this is tried again`,
      );
      void door.#keepTrying();
    }
    return door;
  }

  /** The port; the one that was asked for while it cannot be had. */
  get port(): number {
    return this.#listener?.port ?? this.#options.port;
  }

  close(): void {
    this.#closed.abort();
    this.#listener?.close();
  }

  async #listen(): Promise<void> {
    const { address, port, gate, take } = this.#options;
    const listener = await listenTcp(address, port, gate, take);
    if (this.#closed.signal.aborted) listener.close();
    else this.#listener = listener;
  }

  async #keepTrying(): Promise<void> {
    const { address, port, log } = this.#options;
    for (let waitMs = firstRetryMs; ; waitMs = Math.min(2 * waitMs, maxRetryMs)) {
      try {
        await sleep(waitMs, this.#closed.signal);
        await this.#listen();
        log.info({ address, port }, `debug clients are let in at ${address}:${port}`);
        return;
      } catch {
        if (this.#closed.signal.aborted) return;
      }
    }
  }
}
