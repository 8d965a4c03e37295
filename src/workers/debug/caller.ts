import type { CallOptions, Client } from '../../ipc/contract.js';
import type { Caller } from '../../ipc/services/certs.js';
import type { host } from '../../ipc/services/host.js';
import { processOf, type Peer } from './peer.js';

/** Finding out must not keep a caller waiting. */
const lookMs = 2_000;

/**
 * Who is behind a connection, for the record. On TCP the kernel's table names the other socket; on a Unix socket `ss`
 * (iproute2) does, since Node cannot ask for the peer's credentials. What cannot be found is null.
 */
export async function callerBehind(
  peer: Peer,
  client: Pick<Client<typeof host>, 'run'>,
  { signal }: CallOptions,
): Promise<Caller> {
  const { transport, certificate } = peer;
  if (certificate !== undefined) return { transport, uid: null, pid: null, certificate };
  const inode = peer.transport === 'tcp' ? peer.remoteInode : await otherEnd(peer.inode, client, signal);
  const found = inode === undefined ? undefined : processOf(inode);
  return { transport, uid: peer.uid ?? found?.uid ?? null, pid: found?.pid ?? null };
}

async function otherEnd(
  inode: number | undefined,
  client: Pick<Client<typeof host>, 'run'>,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  if (inode === undefined) return undefined;
  const request = {
    argv: ['/bin/sh', '-c', 'ss -xnH | grep -w "$0"', String(inode)],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  };
  try {
    const { output } = await client.run(request, { deadlineMs: lookMs, ...(signal && { signal }) });
    // "... PATH 4711 * 4712": the local inode and the other end's.
    return Number(new RegExp(`\\s${inode} \\* (\\d+)`).exec(output)?.[1]) || undefined;
  } catch {
    return undefined;
  }
}
