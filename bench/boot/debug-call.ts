import '@grpc/grpc-js';
import { existsSync } from 'node:fs';
import { callNode } from '../../src/cli/node-client.js';
import { nodeDebugService } from '../../src/gen/hamlet/debug/v1/debug.js';
import { poll } from '../../src/lib/time.js';

/**
 * Asks a node for a condition until it answers, over its Unix socket, as dbg does unless it is told otherwise. Import it
 * before the clock starts: it loads gRPC. Before the socket is there nothing is asked: a caller that looks through the
 * kernel's table of ports every few milliseconds takes a third of a core from the start that is measured.
 */
export async function debugCall(socket: string, timeoutMs: number): Promise<void> {
  await poll(
    async () => {
      if (!existsSync(socket)) return undefined;
      await callNode(`unix:${socket}`, nodeDebugService.getCondition, { name: 'hamlet.debug' });
      return true;
    },
    { everyMs: 2, timeoutMs, what: `an answer at ${socket}` },
  );
}
