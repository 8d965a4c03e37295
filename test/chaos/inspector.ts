import { randomBytes } from 'node:crypto';
import http from 'node:http';
import type { Socket } from 'node:net';
import { deferred } from '../../src/ipc/deferred.js';

/** Opcodes and lengths of a frame (RFC 6455, section 5.2). */
const textFrame = 0x81;
const maskBit = 0x80;
const length16 = 126;
const length64 = 127;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: unknown;
}

/**
 * A client of Node's inspector, for what nobody outside of a process can do otherwise: make one of its worker threads
 * fail. It speaks as much of WebSocket as the inspector does: short text messages.
 */
export class Inspector {
  readonly #socket: Socket;
  readonly #onMessage: (message: Message) => void;
  #received = Buffer.alloc(0);
  #lastId = 0;

  private constructor(socket: Socket, onMessage: (message: Message) => void) {
    this.#socket = socket;
    this.#onMessage = onMessage;
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
  }

  /** Connects to `ws://HOST:PORT/ID`, as Node prints it. */
  static async connect(url: string, onMessage: (message: Message) => void): Promise<Inspector> {
    const request = http.get(url.replace(/^ws:/, 'http:'), {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': randomBytes(16).toString('base64'),
      },
    });
    const socket = await new Promise<Socket>((resolve, reject) => {
      request.once('upgrade', (_response, socket: Socket) => resolve(socket));
      request.once('response', ({ statusCode }) => reject(new Error(`the inspector answers ${statusCode}`)));
      request.once('error', reject);
    });
    return new Inspector(socket, onMessage);
  }

  send(method: string, params: object = {}): void {
    this.#lastId += 1;
    this.#socket.write(frame(JSON.stringify({ id: this.#lastId, method, params })));
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    for (;;) {
      const length = frameLength(this.#received);
      if (length === undefined || this.#received.length < length.head + length.body) return;
      const text = this.#received.toString('utf8', length.head, length.head + length.body);
      this.#received = this.#received.subarray(length.head + length.body);
      try {
        this.#onMessage(JSON.parse(text) as Message);
      } catch {
        // A close or ping frame.
      }
    }
  }
}

function frame(text: string): Buffer {
  const body = Buffer.from(text);
  const mask = randomBytes(4);
  const head =
    body.length < length16
      ? Buffer.from([textFrame, maskBit | body.length])
      : Buffer.from([textFrame, maskBit | length16, body.length >> 8, body.length & 0xff]);
  return Buffer.concat([head, mask, body.map((byte, index) => byte ^ (mask[index % 4] ?? 0))]);
}

/** Undefined while even the head of the frame is not all there. Servers do not mask. */
function frameLength(bytes: Buffer): { readonly head: number; readonly body: number } | undefined {
  const short = bytes[1];
  if (short === undefined) return undefined;
  if (short < length16) return { head: 2, body: short };
  if (short === length16) return bytes.length < 4 ? undefined : { head: 4, body: bytes.readUInt16BE(2) };
  if (short !== length64 || bytes.length < 10) return undefined;
  return { head: 10, body: Number(bytes.readBigUInt64BE(2)) };
}

/**
 * Runs a piece of JavaScript in the worker thread of this name; resolves when the thread has answered, which something
 * that ends it has to let it do.
 */
export async function runInThread(url: string, thread: string, expression: string, timeoutMs: number) {
  const told = deferred<undefined>();
  const timer = setTimeout(
    () => told.reject(new Error(`there is no thread ${thread} to be seen`)),
    timeoutMs,
  );
  const inspector = await Inspector.connect(url, ({ method, params }) => {
    if (method === 'NodeWorker.receivedMessageFromWorker') told.resolve(undefined);
    if (method !== 'NodeWorker.attachedToWorker') return;
    const { sessionId, workerInfo } = params as { sessionId: string; workerInfo: { title: string } };
    if (!workerInfo.title.endsWith(thread)) return;
    const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } });
    inspector.send('NodeWorker.sendMessageToWorker', { sessionId, message });
  });
  try {
    inspector.send('NodeWorker.enable', { waitForDebuggerOnStart: false });
    await told.promise;
  } finally {
    clearTimeout(timer);
    inspector.close();
  }
}
