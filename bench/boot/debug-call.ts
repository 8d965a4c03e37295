import { callNode } from '../../src/cli/node-client.js';
import { nodeDebugService } from '../../src/gen/hamlet/debug/v1/debug.js';
import { poll } from '../../src/lib/time.js';

/** Asks a node for a condition until it answers. Import it before the clock starts: it loads gRPC. */
export async function debugCall(endpoint: string, timeoutMs: number): Promise<void> {
  await poll(
    async () => {
      await callNode(endpoint, nodeDebugService.getCondition, { name: 'hamlet.debug' });
      return true;
    },
    { everyMs: 5, timeoutMs, what: `an answer at ${endpoint}` },
  );
}
