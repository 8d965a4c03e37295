/**
 * The components that Hamlet starts, by the dotted names that the tree, the logs and the conditions share.
 * The order is the one in which people list them; what waits for what is in src/workers/kubelet/components/.
 */
export const componentNames = [
  'etcd',
  'containerd',
  'kube.apiserver',
  'kube.controller-manager',
  'kube.scheduler',
  'kube.proxy',
  'kube.kubelet',
] as const;
export type ComponentName = (typeof componentNames)[number];

/** The worker threads. The main thread is 'host' on the mesh and `hamlet` in the logs. */
export const workerNames = ['certs', 'kubelet', 'reconciler', 'logs', 'debug'] as const;
export type WorkerName = (typeof workerNames)[number];

/** The conditions that are not about one component. */
export const conditionNames = [
  'IPAssigned',
  'DataAvailable',
  'PKIReady',
  'CertificatesValid',
  'AuthoritiesSettled',
  'APIServerReady',
  'BuiltinsReady',
  'NodeReady',
  'RemoteDebugReady',
] as const;
export type ConditionName = (typeof conditionNames)[number];

/** Groups of dotted names, and `node`, which has all that is kept running. */
export const groupNames = ['node', 'kube', 'hamlet'] as const;

/** Everything that has a log: the components, the main thread, the worker threads. */
export const logNames: readonly string[] = [
  ...componentNames,
  'hamlet',
  ...workerNames.map((name) => `hamlet.${name}`),
];

/** Everything that GetCondition answers for. */
export const allConditionNames: readonly string[] = [
  ...conditionNames,
  ...groupNames,
  ...componentNames,
  ...workerNames.map((name) => `hamlet.${name}`),
];
