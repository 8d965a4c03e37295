/** For whom debug credentials are issued; the section `debug` of the configuration. */
export interface IssuePolicy {
  /** Whether what may do everything can be asked for: the group of masters, and what Kubernetes and the node reserve. */
  readonly allowMasters: boolean;
  /** Patterns of identities, in which `*` stands for any characters. */
  readonly identities: readonly string[];
}

const masters = 'system:masters';

/**
 * Names that Kubernetes and this node have bound to roles: as the controller manager, a node or a service account one
 * gets anywhere. What everybody is in gives nothing, nor does the name that dbg asks for by itself.
 */
const reserved = /^(?:system:(?!authenticated$)|hamlet:(?!debug:))/;

/** A setting that forbids credentials, and what to say to whoever has asked for them. */
export interface Refusal {
  readonly setting: 'debug.allowMasters' | 'debug.identities';
  readonly message: string;
}

/** Why this node issues nothing for an identity in these groups; undefined when it does. */
export function refusalOf(policy: IssuePolicy, id: string, groups: readonly string[]): Refusal | undefined {
  if (!policy.allowMasters) {
    const group = groups.includes(masters) ? masters : groups.find((name) => reserved.test(name));
    if (group !== undefined) {
      return refusal('debug.allowMasters', group, 'ask for other groups with dbg kubeconfig --groups');
    }
    if (reserved.test(id)) {
      return refusal('debug.allowMasters', `"${id}"`, 'ask for another name with dbg kubeconfig --id');
    }
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
