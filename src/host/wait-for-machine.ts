import { accessSync, constants } from 'node:fs';
import { HamletError } from '../lib/errors.js';
import { sleep } from '../lib/time.js';
import type { Config } from '../platform/config.js';
import { inspectMachine, type Machine } from '../platform/machine.js';
import type { ConditionBoard } from './conditions.js';

/** How often to look for an address that is not there yet, in milliseconds: DHCP takes seconds. */
const lookEveryMs = 250;

export type MachineWithAddress = Machine & { readonly address: string };

/**
 * Looks at the machine, and waits until it has an address: started by init, a node is often earlier than its network.
 * Sets IPAssigned and DataAvailable. Throws FAILED_PRECONDITION when the state folder cannot be written.
 */
export async function waitForMachine(
  config: Config,
  board: ConditionBoard,
  signal: AbortSignal,
): Promise<MachineWithAddress> {
  checkState(config.paths.state, board);
  for (;;) {
    const machine = inspectMachine(config.node.address, [config.network.bridge]);
    const { address } = machine;
    if (address !== undefined) {
      board.set(
        { name: 'IPAssigned', status: 'true', reason: '', message: `the node's address is ${address}` },
        Date.now(),
      );
      return { ...machine, address };
    }
    const message =
      'waits for an IPv4 address besides loopback; node.address in the configuration would set one';
    board.set({ name: 'IPAssigned', status: 'false', reason: 'NoAddress', message }, Date.now());
    await sleep(lookEveryMs, signal);
  }
}

function checkState(state: string, board: ConditionBoard): void {
  try {
    accessSync(state, constants.R_OK | constants.W_OK);
  } catch (cause) {
    throw new HamletError('FAILED_PRECONDITION', `the state folder ${state} cannot be written`, { cause });
  }
  board.set(
    { name: 'DataAvailable', status: 'true', reason: '', message: `the state lies in ${state}` },
    Date.now(),
  );
}
