import { ServerInterceptingCall, status, type ServerInterceptor } from '@grpc/grpc-js';
import { HamletError, codeOf, messageOf } from '../../lib/errors.js';
import { formatDuration } from '../../lib/time.js';
import { limits, type Budget, type Refusals } from './limits.js';
import { callerOf } from './listener.js';
import { adminGroup, readGroup, type Peer, type Role } from './peer.js';
import type { Streams } from './streams.js';

/** What a method asks of its callers. */
export interface Terms {
  readonly name: string;
  readonly role: Exclude<Role, 'none'>;
  /** Whether it is for callers on this machine alone. */
  readonly onNode: boolean;
  /** Whether one request has one answer. */
  readonly isUnary: boolean;
  /** How many of them one caller may have open; as many as of any kind unless given. */
  readonly atOnce?: number | undefined;
}

export interface AdmissionOptions {
  /** By the method's path. */
  readonly terms: ReadonlyMap<string, Terms>;
  /** Who is behind a connection, by gRPC's name for it. Throws when it is gone. */
  readonly peerOf: (name: string) => Peer;
  readonly budget: Budget;
  readonly streams: Streams;
  readonly refusals: Refusals;
}

/** Takes the place of a request that is no message of its type: gRPC would tell only the caller. */
export class Unreadable {
  readonly cause: unknown;

  constructor(cause: unknown) {
    this.cause = cause;
  }
}

/**
 * Decides on each call by its headers, before its request is read; a request that is then not there in time ends the
 * call. gRPC itself refuses one that is too large, and tells only the caller so: here it is put in the log.
 */
export function admission(options: AdmissionOptions): ServerInterceptor {
  const { terms, peerOf, refusals } = options;
  return ({ path, requestStream }, call) => {
    let state: 'waiting' | 'arrived' | 'refused' = 'waiting';
    let caller = '';
    const end = (code: status, details: string): void => {
      state = 'refused';
      call.sendStatus({ code, details });
    };
    const late = setTimeout(() => {
      refusals.note(`late ${caller}`, `${caller} begins a call to the debug API and sends no request`);
      end(status.DEADLINE_EXCEEDED, `no request within ${formatDuration(limits.maxCallMs)}`);
    }, limits.maxCallMs);
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, next) {
            try {
              const peer = peerOf(call.getPeer());
              caller = callerOf(peer);
              admit(peer, terms.get(path), options);
            } catch (error) {
              clearTimeout(late);
              end(status[codeOf(error)], messageOf(error));
              return;
            }
            next(metadata);
          },
          onReceiveMessage(message, next) {
            // Of a stream of requests there is one now, and no end to be waited for.
            if (requestStream) clearTimeout(late);
            if (message instanceof Unreadable) {
              const what = `a request of ${caller} to the debug API cannot be read`;
              refusals.note(`unreadable ${caller}`, `${what}: ${messageOf(message.cause)}`);
              end(status.INVALID_ARGUMENT, 'the request is no message of its type');
              return;
            }
            state = 'arrived';
            next(message);
          },
          onReceiveHalfClose(next) {
            clearTimeout(late);
            next();
          },
          onCancel() {
            clearTimeout(late);
            if (state !== 'waiting') return;
            refusals.note(
              `request ${caller}`,
              `a request of ${caller} to the debug API has not arrived: it is too large, or was broken off`,
            );
          },
        }),
      sendStatus(sent, next) {
        clearTimeout(late);
        next(sent);
      },
    });
  };
}

/** Throws PERMISSION_DENIED or RESOURCE_EXHAUSTED for a call that is not to be made. */
function admit(peer: Peer, terms: Terms | undefined, { budget, streams, refusals }: AdmissionOptions): void {
  const caller = callerOf(peer);
  if (!budget.take(caller)) {
    const message = `too many calls: ${limits.callsPerSecond} a second are allowed`;
    refusals.note(`rate ${caller}`, `${caller} makes too many calls to the debug API`);
    throw new HamletError('RESOURCE_EXHAUSTED', message);
  }
  // gRPC answers for methods that there are not, and every other one is in the table.
  if (terms === undefined) throw new HamletError('INTERNAL', 'nobody knows who may call this method');
  streams.check(caller, terms);
  const { name, role, onNode } = terms;
  const isAway = onNode && peer.transport === 'tls';
  if ((peer.role === 'admin' || peer.role === role) && !isAway) return;
  refusals.note(`${name} ${caller}`, `${caller} may not call ${name} of the debug API`);
  throw new HamletError('PERMISSION_DENIED', `${caller} may not do this${remedy(peer, role, isAway)}`);
}

function remedy(peer: Peer, role: Terms['role'], isAway: boolean): string {
  if (isAway) return ': it is done on the node itself';
  if (peer.transport === 'tls') return `: it takes a certificate of the role ${role}`;
  return `; root may, and the group ${role === 'read' ? `${adminGroup} or ${readGroup}` : adminGroup}`;
}
