import type { Client } from '../../ipc/contract.js';
import type { certs } from '../../ipc/services/certs.js';
import { sleep } from '../../lib/time.js';
import type { ProbeCredentials, TlsCredentials } from './probes.js';

/** How long to wait before asking again for what is not there yet, in milliseconds. */
const retryMs = 250;

/** The credentials for the health endpoints, fetched as soon as there is a PKI. */
export function masterCredentials(client: Client<typeof certs>, signal: AbortSignal): ProbeCredentials {
  let credentials: TlsCredentials | undefined;
  const fetch = async () => {
    while (credentials === undefined && !signal.aborted) {
      try {
        const { files } = await client.credentials({ holder: 'master' }, { signal });
        const file = (name: string) => Buffer.from(files.find((entry) => entry.name === name)?.data ?? []);
        credentials = { ca: file('ca.crt'), cert: file('client.crt'), key: file('client.key') };
      } catch {
        // The condition PKIReady says why; here there is only waiting to do.
        await sleep(retryMs, signal);
      }
    }
  };
  void fetch().catch(() => undefined);
  return () => credentials;
}
