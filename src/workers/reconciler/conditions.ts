import type { ConditionUpdate } from '../../ipc/services/host.js';
import type { Features } from '../../platform/kubernetes-versions.js';
import type { KubernetesObject } from './object.js';

/** How many objects a message names before it only counts them. */
const maxNamed = 4;

/** What both conditions are while nobody can be asked. */
export function unknownConditions(reason: string, message: string): readonly ConditionUpdate[] {
  return ['BuiltinsReady', 'NodeReady'].map((name) => ({ name, status: 'unknown', reason, message }));
}

export interface Builtins {
  /** The built-in objects that are not in place. */
  readonly missing: readonly string[];
  /** ServiceAccount `default` of namespace `default`, which pods are created with. */
  readonly serviceAccount: KubernetesObject | undefined;
  readonly features: Features;
}

/** BuiltinsReady: true from when a pod can be created and the node's own objects are as they have to be. */
export function builtinsReady({ missing, serviceAccount, features }: Builtins): ConditionUpdate {
  const name = 'BuiltinsReady';
  const not = (reason: string, message: string): ConditionUpdate => ({
    name,
    status: 'false',
    reason,
    message,
  });
  if (missing.length > 0) {
    const named = missing.slice(0, maxNamed).join(', ');
    const more = missing.length > maxNamed ? ` and ${missing.length - maxNamed} more` : '';
    return not('ObjectsNotInPlace', `not in place: ${named}${more}`);
  }
  if (serviceAccount === undefined) {
    return not('NoServiceAccount', 'the ServiceAccount default/default is not there yet');
  }
  if (!features.boundServiceAccountTokens && !hasToken(serviceAccount)) {
    return not('NoServiceAccountToken', 'the ServiceAccount default/default has no token yet');
  }
  return { name, status: 'true', reason: '', message: 'the built-in objects are in place' };
}

function hasToken(serviceAccount: KubernetesObject): boolean {
  return Array.isArray(serviceAccount.secrets) && serviceAccount.secrets.length > 0;
}

interface NodeCondition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason?: string;
  readonly message?: string;
  /** RFC 3339. */
  readonly lastHeartbeatTime?: string;
}

/**
 * NodeReady: the Ready condition of the node's own object, in its own words. `kubeletStartedAtMs` is the start of the
 * kubelet that runs, if one does: what an earlier one has said of the node is still there and says nothing.
 */
export function nodeReady(
  nodeName: string,
  node: KubernetesObject | undefined,
  kubeletStartedAtMs: number | undefined,
): ConditionUpdate {
  const name = 'NodeReady';
  if (kubeletStartedAtMs === undefined) {
    return { name, status: 'false', reason: 'KubeletNotRunning', message: 'the kubelet does not run' };
  }
  if (node === undefined) {
    return {
      name,
      status: 'false',
      reason: 'NotRegistered',
      message: `the kubelet has not registered the node ${nodeName} yet`,
    };
  }
  const { conditions = [] } = (node.status ?? {}) as { readonly conditions?: readonly NodeCondition[] };
  const ready = conditions.find(({ type }) => type === 'Ready');
  // Heartbeats are whole seconds.
  const sinceMs = Math.floor(kubeletStartedAtMs / 1_000) * 1_000;
  if (ready === undefined || !(Date.parse(ready.lastHeartbeatTime ?? '') >= sinceMs)) {
    return {
      name,
      status: 'unknown',
      reason: 'NotReported',
      message: 'the kubelet has not said yet whether the node is ready',
    };
  }
  const { status, reason = '', message = '' } = ready;
  switch (status) {
    case 'True':
      return { name, status: 'true', reason: '', message };
    case 'False':
      return { name, status: 'false', reason: reason || 'NotReady', message };
    case 'Unknown':
      return { name, status: 'unknown', reason: reason || 'NodeStatusUnknown', message };
    default:
      return status satisfies never;
  }
}
