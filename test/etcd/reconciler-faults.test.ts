import t from 'tap';
import { poll } from '../../src/lib/time.js';
import { pathOf } from '../../src/workers/reconciler/object.js';
import { clusterRoles } from '../../src/workers/reconciler/objects/cluster-role.js';
import { TestCluster } from './reconciler-cluster.js';
import { bindingPath, makeServiceAccount, Objects } from './reconciler-objects.js';
import { TestReconciler } from './reconciler-worker.js';

t.setTimeout(240_000);

const cluster = await TestCluster.start();
t.teardown(() => cluster[Symbol.asyncDispose]());
const objects = new Objects(cluster);
await makeServiceAccount(objects);

void t.test('a controller that wants something else gets ever slower answers', async (t) => {
  const fightMs = 4_000;
  await using _reconciler = await objects.settledReconciler();
  let answers = 0;
  const endMs = performance.now() + fightMs;
  while (performance.now() < endMs) {
    const object = await objects.get(bindingPath);
    if (!objects.isRight(bindingPath, object)) continue;
    await objects.replace(bindingPath, { ...object, subjects: [] });
    answers += 1;
  }
  t.ok(answers >= 5, `the first are answered at once (${answers} in ${fightMs} ms)`);
  t.ok(answers <= 14, `and it does not become a hot loop (${answers} in ${fightMs} ms)`);
  await objects.untilRight(bindingPath);
});

const webhooks = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
const refuseEverything = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingWebhookConfiguration',
  metadata: { name: 'refuse' },
  webhooks: [
    {
      name: 'refuse.example.com',
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

/** Waits until the API server refuses to create roles. */
async function untilRefused(): Promise<void> {
  const probe = { ...(await objects.get(pathOf(clusterRoles, 'view'))), metadata: { name: 'probe' } };
  await poll(
    async () => {
      try {
        await objects.create(pathOf(clusterRoles), probe);
      } catch {
        return true;
      }
      await objects.remove(pathOf(clusterRoles, 'probe'));
      return undefined;
    },
    { everyMs: 50, timeoutMs: 30_000, what: 'the webhook to take effect' },
  );
}

void t.test('a write that is refused is tried again until it is taken', async (t) => {
  await using reconciler = await objects.settledReconciler();
  await reconciler.until('BuiltinsReady', 'true');
  await objects.create(webhooks, refuseEverything);
  await untilRefused();
  await objects.remove(bindingPath);
  const condition = await reconciler.until('BuiltinsReady', 'false', 'ObjectsNotInPlace');
  t.match(condition.message, /ClusterRoleBinding hamlet:apiserver-kubelet-client/);
  await reconciler.untilLogged(/could not create[^]*could not create/);
  await objects.remove(`${webhooks}/refuse`);
  await objects.untilRight(bindingPath);
  await reconciler.until('BuiltinsReady', 'true');
});

void t.test('while the board says that the API server is not ready it is left alone', async (t) => {
  await using reconciler = await objects.settledReconciler();
  await reconciler.until('BuiltinsReady', 'true');
  reconciler.say('APIServerReady', 'false');
  await reconciler.until('BuiltinsReady', 'unknown', 'APIServerNotReady');
  await reconciler.until('NodeReady', 'unknown', 'APIServerNotReady');
  await objects.remove(bindingPath);
  const requests = reconciler.credentialRequests;
  reconciler.say('APIServerReady', 'true');
  await objects.untilRight(bindingPath);
  await reconciler.until('BuiltinsReady', 'true');
  t.equal(reconciler.credentialRequests, requests + 1, 'credentials are fresh for each session');
});

void t.test('watches that break are taken up again, although nobody has noticed yet', async (t) => {
  await using reconciler = await objects.settledReconciler();
  await reconciler.until('BuiltinsReady', 'true');
  await cluster.killApiserver();
  await cluster.startApiserver();
  const { metadata } = await objects.get(bindingPath);
  await objects.remove(bindingPath);
  t.not((await objects.untilRight(bindingPath)).metadata.uid, metadata.uid);
  await reconciler.untilLogged(/the watch is started over/);
});

void t.test('a worker that is stopped while the API server does not answer stops at once', async (t) => {
  const reconciler = await objects.settledReconciler();
  cluster.pauseApiserver();
  const startedMs = performance.now();
  await reconciler[Symbol.asyncDispose]();
  const tookMs = performance.now() - startedMs;
  cluster.resumeApiserver();
  t.ok(tookMs < 3_000, `it took ${Math.round(tookMs)} ms`);
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
    timeoutMs: 30_000,
    what: 'a second request',
  });
  isForeign = false;
  await reconciler.until('BuiltinsReady', 'true');
  await reconciler.untilLogged(/starting over with the API server: .*Unauthorized/);
});

void t.test('a version that is not there any more is told apart', async (t) => {
  const { signal } = new AbortController();
  const watch = cluster.admin.watch(pathOf(clusterRoles), { resourceVersion: '1' }, () => undefined, signal);
  await t.rejects(watch, { code: 'OUT_OF_RANGE' });
});
