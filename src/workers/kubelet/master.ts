import type { Client } from '../../ipc/contract.js';
import type { certs } from '../../ipc/services/certs.js';
import { sleep } from '../../lib/time.js';
import type { ProbeCredentials, TlsCredentials } from './probes.js';

/** How long to wait before asking again for what is not there yet, in milliseconds. */
const retryMs = 250;

/** The credentials for the health endpoints, fetched as soon as there is a PKI and whenever they are renewed. */
export function masterCredentials(
  client: Pick<Client<typeof certs>, 'credentials' | 'renewals'>,
  signal: AbortSignal,
): ProbeCredentials {
  let credentials: TlsCredentials | undefined;
  const follow = async () => {
    while (!signal.aborted) {
      try {
        for await (const _ of client.renewals({}, { signal })) {
          const { files } = await client.credentials({ holder: 'master' }, { signal });
          const file = (name: string) => Buffer.from(files.find((entry) => entry.name === name)?.data ?? []);
          credentials = { ca: file('ca.crt'), cert: file('client.crt'), key: file('client.key') };
        }
      } catch {
        // The condition PKIReady says why; here there is only waiting to do.
      }
      await sleep(retryMs, signal);
    }
  };
  void follow().catch(() => undefined);
  return () => credentials;
}
