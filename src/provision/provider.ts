import type { Components } from '../platform/components.js';
import type { Config } from '../platform/config.js';
import { DebianProvider } from './debian-provider.js';
import type { Progress } from './progress.js';

export interface ProvisionOptions {
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** A way to get onto this machine what resolveComponents() finds there later. */
export interface Provider {
  /**
   * Gets whatever is missing, which can take minutes and needs the network then; does nothing when nothing is.
   * An interruption at any point leaves nothing half-done behind, and the next call goes on.
   */
  provision(options: ProvisionOptions): Promise<Components>;
}

const providers: Readonly<Record<Config['components']['provider'], new (config: Config) => Provider>> = {
  debian: DebianProvider,
};

/** Gets the components by the provider that the configuration names: see Provider.provision. */
export function provision(config: Config, options: ProvisionOptions): Promise<Components> {
  return new providers[config.components.provider](config).provision(options);
}
