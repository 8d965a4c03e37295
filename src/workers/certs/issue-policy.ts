/** For whom debug credentials are issued; the section `debug` of the configuration. */
export interface IssuePolicy {
  /** Whether the group that may do everything can be asked for. */
  readonly allowMasters: boolean;
  /** Patterns of identities, in which `*` stands for any characters. */
  readonly identities: readonly string[];
}

const masters = 'system:masters';

/** A setting that forbids credentials, and what to say to whoever has asked for them. */
export interface Refusal {
  readonly setting: 'debug.allowMasters' | 'debug.identities';
  readonly message: string;
}

/** Why this node issues nothing for an identity in these groups; undefined when it does. */
export function refusalOf(policy: IssuePolicy, id: string, groups: readonly string[]): Refusal | undefined {
  if (!policy.allowMasters && groups.includes(masters)) {
    return refusal('debug.allowMasters', masters, 'ask for other groups with dbg kubeconfig --groups');
  }
  if (!policy.identities.some((pattern) => matches(pattern, id))) {
    const patterns = policy.identities.map((pattern) => `"${pattern}"`).join(', ');
    return refusal(
      'debug.identities',
      `"${id}"`,
      `there are some for ${patterns === '' ? 'nobody' : patterns}`,
    );
  }
  return undefined;
}

function refusal(setting: Refusal['setting'], whom: string, remedy: string): Refusal {
  return { setting, message: `this node issues no credentials for ${whom} (${setting}); ${remedy}` };
}

function matches(pattern: string, text: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 'su').test(text);
}
