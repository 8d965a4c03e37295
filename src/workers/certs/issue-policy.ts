import { HamletError } from '../../lib/errors.js';

/** For whom debug credentials are issued; the section `debug` of the configuration. */
export interface IssuePolicy {
  /** Whether the group that may do everything can be asked for. */
  readonly allowMasters: boolean;
  /** Patterns of identities, in which `*` stands for any characters. */
  readonly identities: readonly string[];
}

const masters = 'system:masters';

/** Throws PERMISSION_DENIED, naming the setting, for an identity or group that this node issues nothing for. */
export function checkPolicy(policy: IssuePolicy, id: string, groups: readonly string[]): void {
  if (!policy.allowMasters && groups.includes(masters)) {
    throw new HamletError(
      'PERMISSION_DENIED',
      `this node issues no credentials for ${masters} (debug.allowMasters); ask for other groups`,
    );
  }
  if (!policy.identities.some((pattern) => matches(pattern, id))) {
    throw new HamletError(
      'PERMISSION_DENIED',
      `this node issues no credentials for "${id}" (debug.identities)`,
    );
  }
}

function matches(pattern: string, text: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 'su').test(text);
}
