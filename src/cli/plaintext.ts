import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { HamletError, errnoOf } from '../lib/errors.js';

/** As the kernel writes addresses (proc(5)): words in the machine's byte order, little-endian on all that Node runs on. */
const mapped = `${'0'.repeat(16)}FFFF0000`;
const loopback6 = `${'0'.repeat(24)}01000000`;
const [any4, any6] = ['0'.repeat(8), '0'.repeat(32)];

/** A socket that listens; its address as the kernel writes it. */
interface Listening {
  readonly address: string;
  readonly uid: number;
}

/**
 * Where to connect for a HOST:PORT without a certificate: the loopback address on which root or this user listens. Who
 * answers is believed, and says which program "dbg kubectl" starts; yet anybody may listen on such a port, so that the
 * kernel is asked who does. Undefined when nobody listens, or the host is another machine.
 *
 * Throws PERMISSION_DENIED when another user listens there, UNAVAILABLE for a name without an address, and
 * FAILED_PRECONDITION when the kernel does not tell.
 */
export async function plaintextTarget(endpoint: string): Promise<string | undefined> {
  const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(endpoint) ?? [];
  const addresses = await addressesOf(host, endpoint);
  // After the lookup, which may take long: what is found has to be true when the connection is made.
  const all = listeningOn(Number(port));
  for (const address of addresses) {
    const owners = ownersAt(address, all);
    const other = owners.find((uid) => uid !== 0 && uid !== process.geteuid?.());
    if (other !== undefined) {
      const message = `user ${other} listens at ${endpoint}, who is neither root nor you: that is no node to be trusted`;
      throw new HamletError('PERMISSION_DENIED', message);
    }
    if (owners.length > 0) return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  }
  return undefined;
}

async function addressesOf(host: string, endpoint: string): Promise<string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch {
    // The resolver's own words would only say the same.
    throw new HamletError('UNAVAILABLE', `no node answers at ${endpoint}: there is no address for this name`);
  }
}

/** Whose sockets get what connects to a loopback address: those of the very address before those of all addresses. */
function ownersAt(address: string, all: readonly Listening[]): number[] {
  const at = (...wanted: readonly string[]) =>
    all.filter((one) => wanted.includes(one.address)).map(({ uid }) => uid);
  const choose = (exact: number[], general: number[]) => (exact.length > 0 ? exact : general);
  if (address === '::1') return choose(at(loopback6), at(any6));
  if (!address.startsWith('127.')) return [];
  const hex = address
    .split('.')
    .reverse()
    .map((octet) => Number(octet).toString(16).toUpperCase().padStart(2, '0'))
    .join('');
  return choose(at(hex, `${mapped}${hex}`), at(any4, any6));
}

/** All sockets of this machine that listen on a port. Throws FAILED_PRECONDITION when the kernel does not tell. */
function listeningOn(port: number): Listening[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  // number, local address and port, remote ones, state 0A (LISTEN), queues, timer, retransmits, user
  const rows = /^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ 0A \S+ \S+ \S+ +(\d+)/gm;
  return ['/proc/net/tcp', '/proc/net/tcp6']
    .flatMap((file) => [...table(file).matchAll(rows)])
    .filter(([, , at]) => at === wanted)
    .map(([, address = '', , uid]) => ({ address, uid: Number(uid) }));
}

function table(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch (cause) {
    // A kernel without IPv6 has only the other one.
    if (file.endsWith('6') && errnoOf(cause) === 'ENOENT') return '';
    throw new HamletError('FAILED_PRECONDITION', 'the kernel does not tell who listens here', { cause });
  }
}
