import { builtinMetadata, type BuiltinKind } from '../object.js';
import { policyName } from './pod-security-policy.js';

const apiVersion = 'rbac.authorization.k8s.io/v1';

export const pspRoleName = 'hamlet:psp-default';

/** Who has this role may run pods under the default policy. */
const pspDefault = {
  rules: [
    {
      apiGroups: ['policy'],
      resources: ['podsecuritypolicies'],
      resourceNames: [policyName],
      verbs: ['use'],
    },
  ],
};

export const clusterRoles: BuiltinKind = {
  apiVersion,
  kind: 'ClusterRole',
  plural: 'clusterroles',
  served: () => true,
  objects: (features) =>
    features.podSecurityPolicy
      ? [{ apiVersion, kind: 'ClusterRole', metadata: builtinMetadata(pspRoleName), ...pspDefault }]
      : [],
};
