import t from 'tap';
import { features } from '../../../src/platform/kubernetes-versions.js';
import { builtinsReady, nodeReady, unknownConditions } from '../../../src/workers/reconciler/conditions.js';
import type { KubernetesObject } from '../../../src/workers/reconciler/object.js';

const bare: KubernetesObject = { metadata: { name: 'default' } };
const withToken: KubernetesObject = { ...bare, secrets: [{ name: 'default-token-x' }] };
const release = (minor: number) => features({ major: 1, minor });

void t.test('BuiltinsReady names what is missing, a few by name', (t) => {
  const update = builtinsReady({
    missing: ['A a', 'B b', 'C c', 'D d', 'E e', 'F f'],
    serviceAccount: withToken,
    features: release(20),
  });
  t.match(update, { status: 'false', reason: 'ObjectsNotInPlace' });
  t.equal(update.message, 'not in place: A a, B b, C c, D d and 2 more');
  t.end();
});

void t.test('BuiltinsReady waits for what a pod needs in each release', (t) => {
  const reason = (serviceAccount: KubernetesObject | undefined, minor: number) =>
    builtinsReady({ missing: [], serviceAccount, features: release(minor) }).reason;
  t.equal(reason(undefined, 20), 'NoServiceAccount');
  t.equal(reason(bare, 20), 'NoServiceAccountToken');
  t.equal(reason({ ...bare, secrets: [] }, 20), 'NoServiceAccountToken');
  t.equal(reason(withToken, 20), '');
  t.equal(reason(undefined, 21), 'NoServiceAccount');
  t.equal(reason(bare, 21), '', 'pods get bound tokens');
  t.equal(reason(bare, 36), '');
  t.end();
});

void t.test('NodeReady is the Ready condition in its own words', (t) => {
  const node = (ready: object): KubernetesObject => ({
    metadata: { name: 'n' },
    status: {
      conditions: [
        { type: 'MemoryPressure', status: 'False' },
        { type: 'Ready', lastHeartbeatTime: '2026-01-02T03:04:05Z', ...ready },
      ],
    },
  });
  /** In the second of that heartbeat: the kubelet posts whole seconds. */
  const started = Date.parse('2026-01-02T03:04:05.900Z');
  t.match(nodeReady('n', undefined, started), { status: 'false', reason: 'NotRegistered', message: /\bn\b/ });
  t.match(nodeReady('n', { metadata: { name: 'n' } }, started), { status: 'unknown', reason: 'NotReported' });
  t.match(nodeReady('n', node({ status: 'True', reason: 'KubeletReady', message: 'posting' }), started), {
    status: 'true',
    reason: '',
    message: 'posting',
  });
  t.match(nodeReady('n', node({ status: 'False', reason: 'KubeletNotReady', message: 'no CNI' }), started), {
    status: 'false',
    reason: 'KubeletNotReady',
    message: 'no CNI',
  });
  t.match(nodeReady('n', node({ status: 'Unknown' }), started), {
    status: 'unknown',
    reason: 'NodeStatusUnknown',
  });
  t.match(
    nodeReady('n', node({ status: 'True' }), started + 1_000),
    { status: 'unknown', reason: 'NotReported' },
    'what an earlier kubelet has said does not count',
  );
  t.match(nodeReady('n', node({ status: 'True' }), undefined), {
    status: 'false',
    reason: 'KubeletNotRunning',
  });
  t.end();
});

void t.test('while nobody can be asked both are unknown', (t) => {
  t.same(
    unknownConditions('Reason', 'why').map(({ name, status, reason }) => [name, status, reason]),
    [
      ['BuiltinsReady', 'unknown', 'Reason'],
      ['NodeReady', 'unknown', 'Reason'],
    ],
  );
  t.end();
});
