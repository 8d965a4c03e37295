import t from 'tap';
import { podSecurityPolicies } from '../../src/workers/reconciler/objects/pod-security-policy.js';
import { TestCluster } from './reconciler-cluster.js';
import { Objects } from './reconciler-objects.js';

t.setTimeout(240_000);

const user = 'system:serviceaccount:default:default';

/** A pod's manifest; the kind of what is asked for is in the two parts that a test gives. */
function pod(spec: object, container: object = {}): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'pod', namespace: 'default' },
    spec: {
      automountServiceAccountToken: false,
      containers: [{ name: 'c', image: 'i', ...container }],
      ...spec,
    },
  });
}

const capabilities = (...add: readonly string[]) => ({ securityContext: { capabilities: { add } } });

const may = {
  'a plain pod': pod({}),
  'a default capability by name': pod({}, capabilities('NET_RAW')),
  'the seccomp profile of the runtime': pod({
    securityContext: { seccompProfile: { type: 'RuntimeDefault' } },
  }),
  'any user': pod({ securityContext: { runAsUser: 0 } }),
  'privilege escalation': pod({}, { securityContext: { allowPrivilegeEscalation: true } }),
  'an emptyDir': pod({ volumes: [{ name: 'v', emptyDir: {} }] }),
};

const mayNot = {
  'the network of the host': pod({ hostNetwork: true }),
  'the processes of the host': pod({ hostPID: true }),
  'the IPC of the host': pod({ hostIPC: true }),
  'the files of the host': pod({ volumes: [{ name: 'v', hostPath: { path: '/' } }] }),
  'a port of the host': pod({}, { ports: [{ containerPort: 80, hostPort: 80 }] }),
  'another capability': pod({}, capabilities('SYS_ADMIN')),
  'every privilege': pod({}, { securityContext: { privileged: true } }),
};

void t.test('the default policy admits what it has to and nothing more', async (t) => {
  await using cluster = await TestCluster.start();
  if (!podSecurityPolicies.served(cluster.features)) {
    t.pass('this release has no PodSecurityPolicy');
    return;
  }
  const objects = new Objects(cluster);
  await objects.create('/api/v1/namespaces/default/serviceaccounts', {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'default' },
  });
  await cluster.kubectl(['create', 'role', 'pods', '--verb=create', '--resource=pods', '-n=default']);
  await cluster.kubectl(['create', 'rolebinding', 'pods', '--role=pods', `--user=${user}`, '-n=default']);
  const as = [`--as=${user}`, '--as-group=system:serviceaccounts'];
  const create = (manifest: string) =>
    cluster.kubectl([...as, 'create', '--dry-run=server', '-f=-'], manifest);

  await t.rejects(create(pod({})), /forbidden/, 'without the built-in objects nothing is admitted');
  await using _reconciler = await objects.settledReconciler();
  for (const [what, manifest] of Object.entries(may)) {
    await t.resolves(create(manifest), `${what} is admitted`);
  }
  for (const [what, manifest] of Object.entries(mayNot)) {
    await t.rejects(create(manifest), /PodSecurityPolicy: unable to admit pod/, `${what} is not`);
  }
});
