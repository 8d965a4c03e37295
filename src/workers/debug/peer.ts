import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { roleGroups } from '../../ipc/debug-roles.js';
import { HamletError, errnoOf } from '../../lib/errors.js';

/** What a caller may do: nothing, look (logs, conditions, certificates), or everything (credentials, their record). */
export type Role = 'none' | 'read' | 'admin';

/** Who is at the other end of a connection, as far as the kernel tells. */
export interface Peer {
  readonly transport: 'unix' | 'tcp' | 'tls';
  /** Undefined on the Unix socket: there the file's permissions have let it in. */
  readonly uid: number | undefined;
  readonly role: Role;
  /** Over TLS: what the certificate says, once it is known, and where the connection comes from. */
  readonly certificate?: { readonly name: string; readonly serial: string };
  readonly address?: string | undefined;
  /** The inode of this end's socket, by which `ss` finds the other end on a Unix socket. */
  readonly inode: number | undefined;
  /** The inode of the other end's socket on TCP. */
  readonly remoteInode: number | undefined;
}

/** Members of these groups, root apart, may use the debug API over TCP; the first one also owns the Unix socket. */
export const adminGroup = 'hamlet';
export const readGroup = 'hamlet-read';

/** Whoever could open the Unix socket is an administrator. */
export function unixPeer(socket: Socket): Peer {
  return { transport: 'unix', uid: undefined, role: 'admin', inode: inodeOf(socket), remoteInode: undefined };
}

/**
 * The owner of the other end of each TCP connection over loopback: /proc/net/tcp has a row for each end (proc(5)).
 * It has every connection of the machine, so it is read for all of these at once. They have to be open on this side:
 * as long as they are, nobody else can have the other end's port.
 *
 * An end that is being closed has no owner any more, and the kernel prints that as root: such rows do not count, and a
 * row that was read in that very moment is not the same a second time.
 */
export function tcpPeers(sockets: readonly Socket[]): Peer[] {
  const [first, second] = [connectionTable(), connectionTable()];
  return sockets.map((socket) => {
    const needle = rowOfOtherEnd(socket);
    const [before, row] = [establishedRow(first, needle), establishedRow(second, needle)];
    const isOwned = row !== undefined && before?.uid === row.uid && before.inode === row.inode;
    return {
      ...{ transport: 'tcp', inode: undefined },
      uid: isOwned ? row.uid : undefined,
      role: isOwned ? roleOf(row.uid) : 'none',
      remoteInode: isOwned ? row.inode : undefined,
    };
  });
}

/** Somebody on another machine, of whom only the address is known as yet. */
export function remotePeer({ remoteAddress }: Socket): Peer {
  return {
    ...{ transport: 'tls', uid: undefined, role: 'none', inode: undefined, remoteInode: undefined },
    address: remoteAddress,
  };
}

/** Whose certificate a connection has shown. Throws PERMISSION_DENIED, with the reason, for one that does not count. */
export function certifiedPeer(socket: TLSSocket, nowMs: number): Peer {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) throw new HamletError('PERMISSION_DENIED', 'it has no certificate');
  if (!socket.authorized) throw new HamletError('PERMISSION_DENIED', reasonOf(socket));
  if (nowMs >= Date.parse(certificate.validTo)) {
    throw new HamletError('PERMISSION_DENIED', 'its certificate has expired');
  }
  const subject = certificate.subject.split('\n');
  const has = (role: keyof typeof roleGroups) => subject.includes(`O=${roleGroups[role]}`);
  const name = subject.find((part) => part.startsWith('CN='))?.slice(3) ?? '';
  const role = has('admin') ? 'admin' : has('read') ? 'read' : 'none';
  return {
    ...remotePeer(socket),
    role,
    certificate: { name, serial: certificate.serialNumber.toLowerCase() },
  };
}

/** OpenSSL's name for what is wrong with a certificate, in words. */
function reasonOf({ authorizationError }: TLSSocket): string {
  const code = String(authorizationError);
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return 'its certificate has expired';
    case 'CERT_NOT_YET_VALID':
      return 'its certificate is not valid yet';
    case 'INVALID_PURPOSE':
      return "its certificate is not a client's";
    default:
      return `its certificate is not of this node's debug CA (${code})`;
  }
}

/** What a local user may do: root and whoever runs this node everything, the others by their groups. */
export function roleOf(uid: number, files = { passwd: '/etc/passwd', group: '/etc/group' }): Role {
  if (uid === 0 || uid === process.geteuid?.()) return 'admin';
  const groups = groupsOf(uid, files);
  if (groups.includes(adminGroup)) return 'admin';
  return groups.includes(readGroup) ? 'read' : 'none';
}

/** A group's ID, or undefined when there is no such group. */
export function groupId(name: string, file = '/etc/group'): number | undefined {
  const row = rows(file).find(([group]) => group === name);
  return row?.[2] === undefined ? undefined : Number(row[2]);
}

/** The process that has a socket open, and its user; undefined when it has gone. */
export function processOf(inode: number): { readonly pid: number; readonly uid: number } | undefined {
  const wanted = `socket:[${inode}]`;
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    // Whoever asks has most likely just been started.
    .sort((a, b) => b - a);
  for (const pid of pids) {
    if (!hasOpen(pid, wanted)) continue;
    const uid = userOf(pid);
    if (uid !== undefined) return { pid, uid };
  }
  return undefined;
}

/** The effective user of a process; undefined when it has gone. Its folder may be root's, whoever it runs as (proc(5)). */
export function userOf(pid: number): number | undefined {
  try {
    const [, uid] = /^Uid:\t\d+\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
    return uid === undefined ? undefined : Number(uid);
  } catch {
    return undefined;
  }
}

function hasOpen(pid: number, wanted: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => readLink(`/proc/${pid}/fd/${fd}`) === wanted);
  } catch (error) {
    // Processes come and go, and not every one may be looked at.
    if (errnoOf(error) === undefined) throw error;
    return false;
  }
}

function readLink(file: string): string | undefined {
  try {
    return readlinkSync(file);
  } catch {
    return undefined;
  }
}

/** Node does not say it otherwise; without the descriptor the record lacks who asked, and nothing else changes. */
function inodeOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } };
  const target = handle?.fd === undefined ? undefined : readLink(`/proc/self/fd/${handle.fd}`);
  const inode = /^socket:\[(\d+)\]$/.exec(target ?? '')?.[1];
  return inode === undefined ? undefined : Number(inode);
}

/** "0100007F:1EA5": an IPv4 address in the machine's byte order, little-endian on all that Node runs on here. */
function tcpEnd(address: string, port: number | undefined): string {
  const hex = (value: number, digits: number) => value.toString(16).toUpperCase().padStart(digits, '0');
  const octets = address.replace(/^::ffff:/, '').split('.');
  return `${octets
    .reverse()
    .map((octet) => hex(Number(octet), 2))
    .join('')}:${hex(port ?? 0, 4)}`;
}

interface Row {
  readonly uid: number;
  readonly inode: number;
}

function connectionTable(): string {
  return readFileSync('/proc/net/tcp', 'latin1');
}

/** How the row of the other end begins, after its number. State 01 is ESTABLISHED (include/net/tcp_states.h). */
function rowOfOtherEnd({ remoteAddress, remotePort, localAddress, localPort }: Socket): string | undefined {
  // Whoever has gone already has no address.
  if (remoteAddress === undefined || localAddress === undefined) return undefined;
  return `: ${tcpEnd(remoteAddress, remotePort)} ${tcpEnd(localAddress, localPort)} 01 `;
}

function establishedRow(table: string, needle: string | undefined): Row | undefined {
  const start = needle === undefined ? -1 : table.indexOf(needle);
  if (start < 0) return undefined;
  // :, local, remote, state, queues, timer, retransmits, uid, timeout, inode
  const fields = table.slice(start, table.indexOf('\n', start)).split(/\s+/);
  const [uid, inode] = [Number(fields[7]), Number(fields[9])];
  return Number.isInteger(uid) && inode > 0 ? { uid, inode } : undefined;
}

function groupsOf(uid: number, files: { readonly passwd: string; readonly group: string }): string[] {
  const user = rows(files.passwd).find(([, , id]) => Number(id) === uid);
  return rows(files.group).flatMap(([group = '', , id, members = '']) =>
    user !== undefined && (id === user[3] || members.split(',').includes(user[0] ?? '')) ? [group] : [],
  );
}

function rows(file: string): string[][] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(':'));
}
