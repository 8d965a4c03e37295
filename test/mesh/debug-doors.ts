import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import {
  connect as connectHttp2,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { status } from '@grpc/grpc-js';
import type { Test } from 'tap';
import type { Remote } from './debug-remote-fixture.js';

/** A listener of the debug API, as somebody comes to it who may do everything there. */
export interface Door {
  readonly name: string;
  /** What the node's log calls whoever comes. */
  readonly caller: string;
  readonly open: () => Socket;
}

export function doors({ node, port, admin }: Remote): readonly Door[] {
  return [
    {
      ...{ name: 'the Unix socket', caller: 'the Unix socket' },
      open: () => connectTcp({ path: node.socket }),
    },
    {
      ...{ name: 'loopback', caller: `user ${process.geteuid?.()}` },
      open: () => connectTcp({ host: '127.0.0.1', port: node.port }),
    },
    tlsDoor(port, readFileSync(admin, 'utf8'), 'jane'),
  ];
}

/** Other machines' listener, with what `dbg client-certificate` prints for a name. */
export function tlsDoor(port: number, pem: string, name: string): Door {
  const [cert = '', ...ca] = pem.match(/-----BEGIN CERT[^]+?-----END CERTIFICATE-----\n/g) ?? [];
  const key = /-----BEGIN PRIV[^]+?-----END PRIVATE KEY-----/.exec(pem)?.[0];
  return {
    ...{ name: 'mutual TLS', caller: `client ${name}` },
    open: () => connectTls({ host: '127.0.0.1', port, ca, cert, key, ALPNProtocols: ['h2'] }),
  };
}

/** An HTTP/2 connection on which the node has spoken; closed already when it was not let in. */
export async function connected(t: Test, door: Door): Promise<ClientHttp2Session> {
  const socket = door.open();
  const session = connectHttp2('http://node', { createConnection: () => socket });
  session.on('error', () => undefined);
  t.teardown(() => session.destroy());
  await new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
    // An answer shows that the node has heard this side, too.
    session.once('remoteSettings', () => session.ping(() => resolve()));
  });
  return session;
}

/** How a call went: the code's name and the text; of one that was cut off the code is CUT. */
export interface Ended {
  readonly code: string;
  readonly text: string;
}

export interface OpenCall {
  readonly stream: ClientHttp2Stream;
  /** When the node says anything: undefined for a call that goes on, its end for one that is over. */
  readonly answered: Promise<Ended | undefined>;
  readonly ended: Promise<Ended>;
}

/** Begins a call with a request of these bytes, and with none of them when there are none: then it is not sent. */
export function call(session: ClientHttp2Session, path: string, message?: Uint8Array): OpenCall {
  const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
  const stream = session.request(headers, { endStream: false });
  stream.on('error', () => undefined).resume();
  if (message !== undefined) {
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([prefix, message]));
  }
  const ended = new Promise<Ended>((resolve) => {
    stream.once('close', () => resolve({ code: 'CUT', text: '' }));
    for (const event of ['response', 'trailers'] as const) {
      stream.once(event, (fields: IncomingHttpHeaders) => {
        const code = fields['grpc-status'];
        if (code === undefined) return;
        resolve({
          code: status[Number(code)] ?? 'UNKNOWN',
          text: decodeURIComponent((fields['grpc-message'] ?? '').toString()),
        });
      });
    }
  });
  const responded = once(stream, 'response').then(([fields]) =>
    (fields as IncomingHttpHeaders)['grpc-status'] === undefined ? undefined : ended,
  );
  const answered = Promise.race([responded.catch(() => ended), ended]);
  return { stream, answered, ended };
}
