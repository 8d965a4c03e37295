import type { BootstrapOptions } from '../../src/workers/certs/bootstrap.js';
import { NodeKeySealer } from '../../src/platform/sealer.js';
import { defaultLifetimes } from '../../src/platform/lifetimes.js';
import { facts } from '../unit/certs/fixtures.js';

/** What a look at the PKI is made with, in a form that another process can be given. */
export interface Situation {
  /** Wall clock, milliseconds since the epoch; now unless given. */
  readonly nowMs?: number;
  readonly address?: string;
  readonly asked?: boolean;
  readonly delivered?: boolean;
  readonly surelyEarly?: boolean;
  readonly secretsKeyMs?: number;
}

/** The same in every process. */
export const sealer = new NodeKeySealer(Buffer.alloc(32, 7));

export function optionsOf(situation: Situation): Partial<BootstrapOptions> {
  const { nowMs, address, asked = false, delivered = false, surelyEarly = false, secretsKeyMs } = situation;
  return {
    facts: address === undefined ? facts : { ...facts, nodeAddresses: [address] },
    lifetimes: { ...defaultLifetimes, ...(secretsKeyMs !== undefined && { secretsKeyMs }) },
    now: () => nowMs ?? Date.now(),
    surelyEarly,
    rotation: () => ({ asked, delivered, heldUntilMs: 0 }),
  };
}
