import t from 'tap';
import { poll } from '../../src/lib/time.js';
import { builtinMetadata, pathOf, type KubernetesObject } from '../../src/workers/reconciler/object.js';
import { clusterRoleBindings } from '../../src/workers/reconciler/objects/cluster-role-binding.js';
import { clusterRoles } from '../../src/workers/reconciler/objects/cluster-role.js';
import { TestCluster } from './reconciler-cluster.js';
import { bindingPath, Objects, withMetadata } from './reconciler-objects.js';
import { TestReconciler } from './reconciler-worker.js';

t.setTimeout(240_000);

const cluster = await TestCluster.start();
t.teardown(() => cluster[Symbol.asyncDispose]());
const objects = new Objects(cluster);
const paths = [...objects.desired.keys()];

void t.test(
  'an empty cluster gets its objects, and the condition says what is missing until then',
  async (t) => {
    await using reconciler = await TestReconciler.start(cluster);
    await reconciler.until('BuiltinsReady', 'unknown', 'APIServerNotReady');
    t.equal(reconciler.credentialRequests, 0, 'nothing is asked of others before its time');
    for (const path of paths) t.equal(await objects.find(path), undefined, `${path} is not there before`);

    reconciler.sayReady();
    await reconciler.until('BuiltinsReady', 'false', 'NoServiceAccount');
    for (const path of paths) {
      const { metadata } = await objects.untilRight(path);
      t.match(metadata.labels, { 'hamlet.internal/builtin': 'true' }, `${path} carries the label`);
    }

    const serviceAccounts = '/api/v1/namespaces/default/serviceaccounts';
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } };
    const created = await objects.create(serviceAccounts, account);
    if (!cluster.features.boundServiceAccountTokens) {
      await reconciler.until('BuiltinsReady', 'false', 'NoServiceAccountToken');
      const withToken = { ...created, secrets: [{ name: 'default-token' }] };
      await objects.replace(`${serviceAccounts}/default`, withToken);
    }
    const condition = await reconciler.until('BuiltinsReady', 'true');
    t.equal(condition.reason, '');
  },
);

void t.test('objects that are right already are left alone', async (t) => {
  const versions = async () =>
    (await Promise.all(paths.map((path) => objects.get(path)))).map((o) => o.metadata.resourceVersion);
  const before = await versions();
  await using reconciler = await TestReconciler.start(cluster);
  reconciler.sayReady();
  await reconciler.until('BuiltinsReady', 'true');
  t.same(await versions(), before);
  t.notMatch(await reconciler.log(), /created|replaced|removed/);
});

void t.test('what is deleted comes back', async (t) => {
  await using reconciler = await objects.settledReconciler();
  for (const path of paths) {
    const { metadata } = await objects.get(path);
    await objects.remove(path);
    const back = await objects.untilRight(path);
    t.not(back.metadata.uid, metadata.uid, `${path} was made anew`);
  }
  await reconciler.until('BuiltinsReady', 'true');
});

const anyone = { kind: 'User', name: 'anyone', apiGroup: 'rbac.authorization.k8s.io' };
const absentOwner = { apiVersion: 'v1', kind: 'Node', name: 'absent', uid: 'absent' };

const alterations: Readonly<Record<string, (object: KubernetesObject) => KubernetesObject>> = {
  'subjects are added': (o) => ({ ...o, subjects: [...(o.subjects as unknown[]), anyone] }),
  'subjects are taken away': ({ subjects: _, ...o }) => o,
  'the label is taken away': (o) => withMetadata(o, { labels: {} }),
  'the label gets another value': (o) => withMetadata(o, { labels: { 'hamlet.internal/builtin': 'false' } }),
  'a label and an annotation are added': (o) =>
    withMetadata(o, { labels: { ...o.metadata.labels, more: '1' }, annotations: { more: '1' } }),
  'a finalizer is added': (o) => withMetadata(o, { finalizers: ['example.com/stay'] }),
  'an owner is added': (o) => withMetadata(o, { ownerReferences: [absentOwner] }),
};

void t.test('what is altered is put right', async (t) => {
  for (const [what, alter] of Object.entries(alterations)) {
    // Each with a reconciler of its own: one that has to put many things right in a row takes its time.
    await using reconciler = await objects.settledReconciler();
    const altered = await objects.replace(bindingPath, alter(await objects.get(bindingPath)));
    const right = await objects.untilRight(bindingPath);
    t.not(right.metadata.resourceVersion, altered.metadata.resourceVersion, what);
    t.equal(right.metadata.uid, altered.metadata.uid, `${what}: it is the same object`);
    await reconciler.untilLogged(/replaced ClusterRoleBinding hamlet:apiserver-kubelet-client: \w/);
  }
});

void t.test('a field that may not change is put right by making the object anew', async (t) => {
  const { metadata, ...right } = await objects.get(bindingPath);
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' };
  for (const impostor of [builtinMetadata(metadata.name), { name: metadata.name }]) {
    await objects.remove(bindingPath);
    await objects.create(pathOf(clusterRoleBindings), { ...right, metadata: impostor, roleRef });
    await using reconciler = await objects.settledReconciler();
    t.same((await objects.untilRight(bindingPath)).roleRef, right.roleRef);
    await reconciler.untilLogged(/created ClusterRoleBinding [^ ]*: roleRef.name was altered/);
  }
});

void t.test('a deletion that a finalizer holds back is let through, and the object is back', async (t) => {
  await using _reconciler = await objects.settledReconciler();
  const old = await objects.get(bindingPath);
  await objects.replace(bindingPath, withMetadata(old, { finalizers: ['example.com/stay'] }));
  await objects.remove(bindingPath);
  const back = await poll(
    async () => {
      const object = await objects.untilRight(bindingPath);
      return object.metadata.uid === old.metadata.uid ? undefined : object;
    },
    { everyMs: 10, timeoutMs: 30_000, what: 'a new object' },
  );
  t.same(back.metadata.finalizers ?? [], []);
});

const role = (metadata: KubernetesObject['metadata']): KubernetesObject => ({
  apiVersion: clusterRoles.apiVersion,
  kind: clusterRoles.kind,
  metadata,
  rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }],
});

void t.test('objects of others go if they carry the label, and stay as they are if not', async (t) => {
  await using reconciler = await objects.settledReconciler();
  const path = pathOf(clusterRoles, 'hamlet:not-ours');
  const unlabelled = await objects.create(pathOf(clusterRoles), role({ name: 'hamlet:not-ours' }));
  await objects.create(pathOf(clusterRoles), role(builtinMetadata('labelled')));
  await objects.untilGone(pathOf(clusterRoles, 'labelled'));
  await reconciler.untilLogged(/removed ClusterRole labelled: it carries the label/);

  t.same((await objects.get(path)).metadata, unlabelled.metadata, 'the other one was not touched');
  await objects.replace(path, withMetadata(unlabelled, builtinMetadata('hamlet:not-ours')));
  await objects.untilGone(path);
});

void t.test('what happened while nobody looked is put right at the start', async (t) => {
  await objects.create(pathOf(clusterRoles), role(builtinMetadata('old')));
  await objects.replace(bindingPath, { ...(await objects.get(bindingPath)), subjects: [] });
  await using reconciler = await objects.settledReconciler();
  await objects.untilGone(pathOf(clusterRoles, 'old'));
  const condition = await reconciler.until('BuiltinsReady', 'true');
  t.equal(condition.reason, '');
});

void t.test("the node's own Ready condition is the board's", async (t) => {
  const nodes = '/api/v1/nodes';
  const path = `${nodes}/${cluster.nodeName}`;
  const setReady = async (where: string, status: string, reason: string): Promise<void> => {
    const lastHeartbeatTime = new Date().toISOString();
    const conditions = [{ type: 'Ready', status, reason, message: 'as the test has it', lastHeartbeatTime }];
    await objects.replace(`${where}/status`, { ...(await objects.get(where)), status: { conditions } });
  };
  await using reconciler = await objects.settledReconciler();
  await reconciler.until('NodeReady', 'false', 'NotRegistered');
  await objects.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'another' } });
  await setReady(`${nodes}/another`, 'True', 'KubeletReady');
  await objects.create(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: cluster.nodeName } });
  await reconciler.until('NodeReady', 'unknown', 'NotReported');
  await setReady(path, 'False', 'KubeletNotReady');
  t.equal((await reconciler.until('NodeReady', 'false', 'KubeletNotReady')).message, 'as the test has it');
  await setReady(path, 'True', 'KubeletReady');
  t.equal((await reconciler.until('NodeReady', 'true')).reason, '');
  await setReady(path, 'Unknown', 'NodeStatusUnknown');
  await reconciler.until('NodeReady', 'unknown', 'NodeStatusUnknown');
  await objects.remove(path);
  await reconciler.until('NodeReady', 'false', 'NotRegistered');
});
