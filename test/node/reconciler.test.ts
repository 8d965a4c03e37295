import t from 'tap';
import { isHamletError } from '../../src/lib/errors.js';
import { poll } from '../../src/lib/time.js';
import { content } from '../../src/workers/reconciler/decide.js';
import { builtinMetadata, pathOf, type KubernetesObject } from '../../src/workers/reconciler/object.js';
import { clusterRoleBindings } from '../../src/workers/reconciler/objects/cluster-role-binding.js';
import { clusterRoles } from '../../src/workers/reconciler/objects/cluster-role.js';
import { builtinKinds } from '../../src/workers/reconciler/objects/index.js';
import { podSecurityPolicies } from '../../src/workers/reconciler/objects/pod-security-policy.js';
import { TestCluster } from './reconciler-cluster.js';
import { TestReconciler } from './reconciler-worker.js';

const bindingPath = pathOf(clusterRoleBindings, 'hamlet:apiserver-kubelet-client');
const serviceAccounts = '/api/v1/namespaces/default/serviceaccounts';

const cluster = await TestCluster.start();
t.teardown(() => cluster[Symbol.asyncDispose]());
const { admin } = cluster;
const soon = () => AbortSignal.timeout(20_000);

/** An object, or undefined when there is none. */
async function find(path: string): Promise<KubernetesObject | undefined> {
  try {
    return await admin.get<KubernetesObject>(path, {}, soon());
  } catch (error) {
    if (isHamletError(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

async function get(path: string): Promise<KubernetesObject> {
  const object = await find(path);
  if (object === undefined) throw new Error(`${path} is not there`);
  return object;
}

/** Everything that has to be there, by its path. */
function desired(): Map<string, KubernetesObject> {
  return new Map(
    builtinKinds
      .filter((kind) => kind.served(cluster.features))
      .flatMap((kind) => kind.objects(cluster.features).map((o) => [pathOf(kind, o.metadata.name), o])),
  );
}

/** Waits until an object is as it has to be, and gives it. */
async function untilRight(path: string): Promise<KubernetesObject> {
  const object = desired().get(path);
  if (object === undefined) throw new Error(`nothing is wanted at ${path}`);
  const wanted = JSON.stringify(sorted(content(object)));
  return poll(
    async () => {
      const found = await find(path);
      if (found === undefined || found.metadata.deletionTimestamp !== undefined) return undefined;
      return JSON.stringify(sorted(content(found))) === wanted ? found : undefined;
    },
    { everyMs: 10, timeoutMs: 20_000, what: `${path} as it has to be` },
  );
}

/** JSON with its fields in one order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, field]) => [key, sorted(field)]),
  );
}

/** A reconciler that has done its first work. */
async function settledReconciler(): Promise<TestReconciler> {
  const reconciler = await TestReconciler.start(cluster);
  reconciler.sayReady();
  await Promise.all([...desired().keys()].map(untilRight));
  return reconciler;
}

void t.test(
  'an empty cluster gets its objects, and the condition says what is missing until then',
  async (t) => {
    await using reconciler = await TestReconciler.start(cluster);
    await reconciler.until('BuiltinsReady', 'unknown', 'APIServerNotReady');
    t.equal(reconciler.credentialRequests, 0, 'nothing is asked of others before its time');
    for (const path of desired().keys()) t.equal(await find(path), undefined, `${path} is not there before`);

    reconciler.sayReady();
    await reconciler.until('BuiltinsReady', 'false', 'NoServiceAccount');
    for (const path of desired().keys()) {
      const { metadata } = await untilRight(path);
      t.match(metadata.labels, { 'hamlet.internal/builtin': 'true' }, `${path} carries the label`);
    }

    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } };
    const created = await admin.create(serviceAccounts, account, soon());
    if (!cluster.features.boundServiceAccountTokens) {
      await reconciler.until('BuiltinsReady', 'false', 'NoServiceAccountToken');
      const withToken = { ...created, secrets: [{ name: 'default-token' }] };
      await admin.replace(`${serviceAccounts}/default`, withToken, soon());
    }
    const condition = await reconciler.until('BuiltinsReady', 'true');
    t.equal(condition.reason, '');
  },
);

void t.test('objects that are right already are left alone', async (t) => {
  const before = await Promise.all([...desired().keys()].map(get));
  await using reconciler = await TestReconciler.start(cluster);
  reconciler.sayReady();
  await reconciler.until('BuiltinsReady', 'true');
  const after = await Promise.all([...desired().keys()].map(get));
  t.same(
    after.map(({ metadata }) => metadata.resourceVersion),
    before.map(({ metadata }) => metadata.resourceVersion),
  );
  t.notMatch(await reconciler.log(), /created|replaced|removed/);
});

void t.test('what is deleted comes back', async (t) => {
  await using reconciler = await settledReconciler();
  for (const path of desired().keys()) {
    const { metadata } = await get(path);
    await admin.remove(path, undefined, soon());
    const back = await untilRight(path);
    t.not(back.metadata.uid, metadata.uid, `${path} was made anew`);
  }
  await reconciler.until('BuiltinsReady', 'true');
});

void t.test('what is altered is put right', async (t) => {
  const alterations: Record<string, (object: KubernetesObject) => KubernetesObject> = {
    'subjects are added': (o) => ({ ...o, subjects: [...(o.subjects as unknown[]), anyone] }),
    'subjects are taken away': ({ subjects: _, ...o }) => o,
    'the label is taken away': (o) => withMetadata(o, { labels: {} }),
    'the label gets another value': (o) =>
      withMetadata(o, { labels: { 'hamlet.internal/builtin': 'false' } }),
    'a label and an annotation are added': (o) =>
      withMetadata(o, { labels: { ...o.metadata.labels, more: '1' }, annotations: { more: '1' } }),
    'a finalizer is added': (o) => withMetadata(o, { finalizers: ['example.com/stay'] }),
    'an owner is added': (o) => withMetadata(o, { ownerReferences: [absentOwner] }),
  };
  const anyone = { kind: 'User', name: 'anyone', apiGroup: 'rbac.authorization.k8s.io' };
  const absentOwner = { apiVersion: 'v1', kind: 'Node', name: 'absent', uid: 'absent' };
  for (const [what, alter] of Object.entries(alterations)) {
    // Each with a reconciler of its own: one that had to put many things right in a row takes its time.
    await using reconciler = await settledReconciler();
    const altered = await admin.replace(bindingPath, alter(await get(bindingPath)), soon());
    const right = await untilRight(bindingPath);
    t.not(right.metadata.resourceVersion, altered.metadata.resourceVersion, what);
    t.equal(right.metadata.uid, altered.metadata.uid, `${what}: it is the same object`);
    await reconciler.untilLogged(/replaced ClusterRoleBinding hamlet:apiserver-kubelet-client: \w/);
  }
});

function withMetadata(
  object: KubernetesObject,
  metadata: Partial<KubernetesObject['metadata']>,
): KubernetesObject {
  return { ...object, metadata: { ...object.metadata, ...metadata } };
}

void t.test(
  'a field that the API server lets nobody change is put right by making the object anew',
  async (t) => {
    await using _reconciler = await settledReconciler();
    const { metadata, subjects } = await get(bindingPath);
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' };
    const impostor = {
      apiVersion: clusterRoleBindings.apiVersion,
      kind: clusterRoleBindings.kind,
      metadata: builtinMetadata(metadata.name),
      roleRef,
      subjects,
    };
    // Somebody who is quicker than the watch: try until the impostor was the first one there.
    await poll(
      async () => {
        await admin.remove(bindingPath, undefined, soon()).catch(() => undefined);
        try {
          return await admin.create(pathOf(clusterRoleBindings), impostor, soon());
        } catch (error) {
          if (isHamletError(error, 'ALREADY_EXISTS')) return undefined;
          throw error;
        }
      },
      { everyMs: 1, timeoutMs: 20_000, what: 'an impostor' },
    );
    const right = await untilRight(bindingPath);
    t.match(right.roleRef, { name: 'system:kubelet-api-admin' });
  },
);

void t.test(
  "a deletion that somebody's finalizer holds back is let through, and the object is back",
  async (t) => {
    await using _reconciler = await settledReconciler();
    const { metadata } = await get(bindingPath);
    // Deleting at once after the finalizer was set; the reconciler may have taken it away already.
    await admin.replace(
      bindingPath,
      withMetadata(await get(bindingPath), { finalizers: ['example.com/stay'] }),
      soon(),
    );
    await admin.remove(bindingPath, undefined, soon());
    const right = await poll(
      async () => {
        const object = await untilRight(bindingPath);
        return object.metadata.uid === metadata.uid ? undefined : object;
      },
      { everyMs: 10, timeoutMs: 20_000, what: 'a new object' },
    );
    t.same(right.metadata.finalizers ?? [], []);
  },
);

void t.test('others objects: with the label they go, without it they stay as they are', async (t) => {
  await using reconciler = await settledReconciler();
  const collection = pathOf(clusterRoles);
  const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }];
  const role = (metadata: KubernetesObject['metadata']): KubernetesObject => ({
    apiVersion: clusterRoles.apiVersion,
    kind: clusterRoles.kind,
    metadata,
    rules,
  });
  const unlabelled = await admin.create(collection, role({ name: 'hamlet:not-ours' }), soon());
  await admin.create(collection, role(builtinMetadata('labelled')), soon());
  await poll(async () => ((await find(pathOf(clusterRoles, 'labelled'))) === undefined ? true : undefined), {
    everyMs: 10,
    timeoutMs: 20_000,
    what: 'the labelled role to be gone',
  });
  await reconciler.untilLogged(/removed ClusterRole labelled: it carries the label/);

  const path = pathOf(clusterRoles, 'hamlet:not-ours');
  t.same((await get(path)).metadata, unlabelled.metadata, 'the other one was not touched');
  await admin.replace(path, withMetadata(unlabelled, builtinMetadata('hamlet:not-ours')), soon());
  await poll(async () => ((await find(path)) === undefined ? true : undefined), {
    everyMs: 10,
    timeoutMs: 20_000,
    what: 'the other one to be gone after it got the label',
  });
});

void t.test('what was altered and left behind while nobody looked is put right at the start', async (t) => {
  const collection = pathOf(clusterRoles);
  await admin.create(
    collection,
    { apiVersion: clusterRoles.apiVersion, kind: 'ClusterRole', metadata: builtinMetadata('old'), rules: [] },
    soon(),
  );
  await admin.replace(bindingPath, { ...(await get(bindingPath)), subjects: [] }, soon());
  await using reconciler = await settledReconciler();
  await reconciler.until('BuiltinsReady', 'true');
  await poll(async () => ((await find(`${collection}/old`)) === undefined ? true : undefined), {
    everyMs: 10,
    timeoutMs: 20_000,
    what: 'the old role to be gone',
  });
  t.pass('all put right');
});

void t.test('a controller that wants something else gets ever slower answers', async (t) => {
  await using _reconciler = await settledReconciler();
  const fight = AbortSignal.timeout(4_000);
  let altered = 0;
  try {
    for (;;) {
      const right = await untilRightOr(fight);
      await admin.replace(bindingPath, { ...right, subjects: [] }, soon());
      altered += 1;
    }
  } catch (error) {
    if (!fight.aborted) throw error;
  }
  t.ok(altered > 5, `the first are answered at once (${altered} in 4 s)`);
  t.ok(altered < 15, `and it does not become a hot loop (${altered} in 4 s)`);
  await untilRight(bindingPath);
});

/** untilRight() that ends with a signal. */
async function untilRightOr(signal: AbortSignal): Promise<KubernetesObject> {
  for (;;) {
    signal.throwIfAborted();
    const object = await get(bindingPath);
    if (Array.isArray(object.subjects) && object.subjects.length > 0) return object;
  }
}

void t.test('a write that is refused is tried again until it is taken', async (t) => {
  await using reconciler = await settledReconciler();
  await reconciler.until('BuiltinsReady', 'true');
  const webhooks = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
  await admin.create(webhooks, brokenWebhook, soon());
  const probe = { ...(await get(pathOf(clusterRoles, 'view'))), metadata: { name: 'probe' } };
  await poll(
    async () => {
      try {
        await admin.create(pathOf(clusterRoles), probe, soon());
      } catch {
        return true;
      }
      await admin.remove(pathOf(clusterRoles, 'probe'), undefined, soon());
      return undefined;
    },
    { everyMs: 50, timeoutMs: 20_000, what: 'the webhook to take effect' },
  );
  await admin.remove(bindingPath, undefined, soon());
  const condition = await reconciler.until('BuiltinsReady', 'false', 'ObjectsNotInPlace');
  t.match(condition.message, /ClusterRoleBinding hamlet:apiserver-kubelet-client/);
  await reconciler.untilLogged(/could not create[^]*could not create/);
  await admin.remove(`${webhooks}/broken`, undefined, soon());
  await untilRight(bindingPath);
  await reconciler.until('BuiltinsReady', 'true');
});

const brokenWebhook = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingWebhookConfiguration',
  metadata: { name: 'broken' },
  webhooks: [
    {
      name: 'broken.example.com',
      // Nobody listens there.
      clientConfig: { url: 'https://127.0.0.1:1/' },
      rules: [
        {
          apiGroups: ['rbac.authorization.k8s.io'],
          apiVersions: ['v1'],
          operations: ['CREATE', 'UPDATE'],
          resources: ['clusterroles', 'clusterrolebindings'],
        },
      ],
      failurePolicy: 'Fail',
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
    },
  ],
};

void t.test("the node's own Ready condition is the board's", async (t) => {
  await using reconciler = await settledReconciler();
  await reconciler.until('NodeReady', 'false', 'NotRegistered');
  const path = `/api/v1/nodes/${cluster.nodeName}`;
  const other = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'another' } };
  await admin.create('/api/v1/nodes', other, soon());
  await setReady('/api/v1/nodes/another', 'True', 'KubeletReady');
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: cluster.nodeName } };
  await admin.create('/api/v1/nodes', node, soon());
  await reconciler.until('NodeReady', 'unknown', 'NotReported');
  await setReady(path, 'False', 'KubeletNotReady');
  t.equal((await reconciler.until('NodeReady', 'false', 'KubeletNotReady')).message, 'as the test has it');
  await setReady(path, 'True', 'KubeletReady');
  t.equal((await reconciler.until('NodeReady', 'true')).reason, '');
  await setReady(path, 'Unknown', 'NodeStatusUnknown');
  await reconciler.until('NodeReady', 'unknown', 'NodeStatusUnknown');
  await admin.remove(path, undefined, soon());
  await reconciler.until('NodeReady', 'false', 'NotRegistered');
});

async function setReady(path: string, status: string, reason: string): Promise<void> {
  const node = await get(path);
  const lastHeartbeatTime = new Date().toISOString();
  const conditions = [{ type: 'Ready', status, reason, message: 'as the test has it', lastHeartbeatTime }];
  await admin.replace(`${path}/status`, { ...node, status: { conditions } }, soon());
}

void t.test('while the board says that the API server is not ready it is left alone', async (t) => {
  await using reconciler = await settledReconciler();
  await reconciler.until('BuiltinsReady', 'true');
  reconciler.say('APIServerReady', 'false');
  await reconciler.until('BuiltinsReady', 'unknown', 'APIServerNotReady');
  await reconciler.until('NodeReady', 'unknown', 'APIServerNotReady');
  await admin.remove(bindingPath, undefined, soon());
  const requests = reconciler.credentialRequests;
  reconciler.say('APIServerReady', 'true');
  await untilRight(bindingPath);
  await reconciler.until('BuiltinsReady', 'true');
  t.equal(reconciler.credentialRequests, requests + 1, 'credentials are fresh for each session');
});

void t.test('watches that break are taken up again', async (t) => {
  await using reconciler = await settledReconciler();
  await reconciler.until('BuiltinsReady', 'true');
  await cluster.killApiserver();
  await cluster.startApiserver();
  const { metadata } = await get(bindingPath);
  await admin.remove(bindingPath, undefined, soon());
  t.not((await untilRight(bindingPath)).metadata.uid, metadata.uid);
  await reconciler.untilLogged(/the watch is started over/);
});

void t.test('credentials that are not taken are asked for anew', async () => {
  const foreign = await cluster.foreignCredentials('master');
  let isForeign = true;
  await using reconciler = await TestReconciler.start(cluster, () =>
    isForeign ? foreign : cluster.credentials('master'),
  );
  reconciler.sayReady();
  await poll(() => (reconciler.credentialRequests > 1 ? true : undefined), {
    everyMs: 10,
    timeoutMs: 20_000,
    what: 'a second request',
  });
  isForeign = false;
  await reconciler.until('BuiltinsReady', 'true');
  await reconciler.untilLogged(/starting over with the API server: .*Unauthorized/);
});

void t.test('a version that is not there any more is told apart', async (t) => {
  const watch = admin.watch(pathOf(clusterRoles), { resourceVersion: '1' }, () => undefined, soon());
  await t.rejects(watch, { code: 'OUT_OF_RANGE' });
});

void t.test('the default policy admits what it has to and nothing more', async (t) => {
  if (!podSecurityPolicies.served(cluster.features)) {
    t.comment('this release has no PodSecurityPolicy');
    return;
  }
  await using _reconciler = await settledReconciler();
  const user = 'system:serviceaccount:default:default';
  await cluster.kubectl(['create', 'role', 'podder', '--verb=create', '--resource=pods', '-n=default']);
  await cluster.kubectl(['create', 'rolebinding', 'podder', '--role=podder', `--user=${user}`, '-n=default']);
  const create = (pod: string) =>
    cluster.kubectl(
      [`--as=${user}`, '--as-group=system:serviceaccounts', 'create', '--dry-run=server', '-f=-'],
      pod,
    );
  const pod = (spec: object, container: object = {}) =>
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'pod', namespace: 'default' },
      spec: {
        automountServiceAccountToken: false,
        containers: [{ name: 'c', image: 'i', ...container }],
        ...spec,
      },
    });
  const may = {
    'a plain pod': pod({}),
    'a named default capability': pod({}, { securityContext: { capabilities: { add: ['NET_RAW'] } } }),
    'the runtime seccomp profile': pod({ securityContext: { seccompProfile: { type: 'RuntimeDefault' } } }),
    'any user': pod({ securityContext: { runAsUser: 0 } }),
    'an emptyDir': pod({ volumes: [{ name: 'v', emptyDir: {} }] }),
  };
  const mayNot = {
    'the network of the host': pod({ hostNetwork: true }),
    'its processes': pod({ hostPID: true }),
    'its IPC': pod({ hostIPC: true }),
    'its files': pod({ volumes: [{ name: 'v', hostPath: { path: '/' } }] }),
    'a port of it': pod({}, { ports: [{ containerPort: 80, hostPort: 80 }] }),
    'more capabilities': pod({}, { securityContext: { capabilities: { add: ['SYS_ADMIN'] } } }),
    everything: pod({}, { securityContext: { privileged: true } }),
  };
  for (const [what, manifest] of Object.entries(may)) {
    await t.resolves(create(manifest), `${what} is admitted`);
  }
  for (const [what, manifest] of Object.entries(mayNot)) {
    await t.rejects(create(manifest), /PodSecurityPolicy: unable to admit pod/, `${what} is not`);
  }
});
