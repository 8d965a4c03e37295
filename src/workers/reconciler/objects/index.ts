import type { BuiltinKind } from '../object.js';
import { clusterRoleBindings } from './cluster-role-binding.js';
import { clusterRoles } from './cluster-role.js';
import { podSecurityPolicies } from './pod-security-policy.js';

/** Every kind of which there are built-in objects, in the order in which people list them. */
export const builtinKinds: readonly BuiltinKind[] = [podSecurityPolicies, clusterRoles, clusterRoleBindings];
