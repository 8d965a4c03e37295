import { userInfo } from 'node:os';
import { UsageError } from './arguments.js';
import { secondsFrom } from './duration.js';

/** The options that say for whom credentials are. */
export const identityOptions = {
  id: { takes: 'NAME' },
  groups: { takes: 'A,B' },
  ttl: { takes: 'TIME' },
} as const;

export const identityHelp = `      --id NAME              the user that Kubernetes sees (default: hamlet:debug: and your user name)
      --groups A,B           the groups that it sees (default: system:masters, which may do everything)
      --ttl TIME             how long the certificate is good for, such as 15m (default: what the node gives, 1h)
`;

export interface Identity {
  readonly id: string;
  readonly groups: readonly string[];
  /** 0 for what the node gives. */
  readonly ttlSeconds: number;
}

/** For whom to ask, from the options. Throws UsageError. */
export function identityFrom(options: Partial<Record<keyof typeof identityOptions, string>>): Identity {
  const groups = (options.groups ?? 'system:masters').split(',');
  if (groups.includes('')) throw new UsageError('--groups takes names with commas between them');
  return {
    id: options.id ?? `hamlet:debug:${userName()}`,
    groups,
    ttlSeconds: options.ttl === undefined ? 0 : secondsFrom('--ttl', options.ttl),
  };
}

/** Who asks, for the record. A user ID need not have a name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.());
  }
}
