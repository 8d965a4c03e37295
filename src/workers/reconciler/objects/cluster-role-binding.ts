import { builtinMetadata, type BuiltinKind, type KubernetesObject } from '../object.js';
import { pspRoleName } from './cluster-role.js';

const apiVersion = 'rbac.authorization.k8s.io/v1';
const apiGroup = 'rbac.authorization.k8s.io';

interface Reference {
  readonly apiGroup: string;
  readonly kind: string;
  readonly name: string;
}

interface Binding {
  readonly roleRef: Reference;
  readonly subjects: readonly Reference[];
}

/** Pods are created by controllers and admitted for their service accounts: every one of those may use the policy. */
const defaultPspForServiceAccounts: Binding = {
  roleRef: { apiGroup, kind: 'ClusterRole', name: pspRoleName },
  subjects: [{ apiGroup, kind: 'Group', name: 'system:serviceaccounts' }],
};

/** The API server's own identity towards the kubelet, so that logs, exec and port-forward work. */
const apiserverKubeletClient: Binding = {
  roleRef: { apiGroup, kind: 'ClusterRole', name: 'system:kubelet-api-admin' },
  subjects: [{ apiGroup, kind: 'User', name: 'hamlet:apiserver-kubelet-client' }],
};

function binding(name: string, fields: Binding): KubernetesObject {
  return { apiVersion, kind: 'ClusterRoleBinding', metadata: builtinMetadata(name), ...fields };
}

export const clusterRoleBindings: BuiltinKind = {
  apiVersion,
  kind: 'ClusterRoleBinding',
  plural: 'clusterrolebindings',
  fixedField: 'roleRef',
  served: () => true,
  objects: (features) => [
    binding('hamlet:apiserver-kubelet-client', apiserverKubeletClient),
    ...(features.podSecurityPolicy
      ? [binding('hamlet:default-psp-for-sa', defaultPspForServiceAccounts)]
      : []),
  ],
};
