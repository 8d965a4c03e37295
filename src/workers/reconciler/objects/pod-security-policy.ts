import { builtinMetadata, type BuiltinKind } from '../object.js';

const apiVersion = 'policy/v1beta1';

export const policyName = 'default';

/** What runc lets a container have unless it asks for less; asking for one of these by name is no more than that. */
const defaultCapabilities = [
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'NET_RAW',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
];

/**
 * The seccomp profiles that a pod may name (https://kubernetes.io/docs/concepts/security/pod-security-policy/#seccomp).
 * Without the annotation a pod that asks for a profile is refused, while one that asks for none runs unconfined: any
 * profile is at least as strict as that.
 */
const anySeccompProfile = { 'seccomp.security.alpha.kubernetes.io/allowedProfileNames': '*' };

/**
 * The default policy: pods may be any user and raise their privileges, but share nothing with the host. Fields that
 * are false or empty (privileged, hostNetwork, hostIPC, hostPID, hostPorts, …) are left out, as the API server does.
 */
const spec = {
  allowPrivilegeEscalation: true,
  allowedCapabilities: defaultCapabilities,
  volumes: ['configMap', 'emptyDir', 'projected', 'secret', 'downwardAPI', 'persistentVolumeClaim'],
  runAsUser: { rule: 'RunAsAny' },
  seLinux: { rule: 'RunAsAny' },
  supplementalGroups: { rule: 'RunAsAny' },
  fsGroup: { rule: 'RunAsAny' },
};

export const podSecurityPolicies: BuiltinKind = {
  apiVersion,
  kind: 'PodSecurityPolicy',
  plural: 'podsecuritypolicies',
  served: (features) => features.podSecurityPolicy,
  objects: () => [
    {
      apiVersion,
      kind: 'PodSecurityPolicy',
      metadata: builtinMetadata(policyName, anySeccompProfile),
      spec,
    },
  ],
};
