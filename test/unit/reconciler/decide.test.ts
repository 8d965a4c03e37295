import fc from 'fast-check';
import t from 'tap';
import { content, decide, firstDifference } from '../../../src/workers/reconciler/decide.js';
import { builtinMetadata, type KubernetesObject } from '../../../src/workers/reconciler/object.js';

const name = 'hamlet:test';
const desired: KubernetesObject = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  metadata: builtinMetadata(name),
  rules: [{ apiGroups: ['policy'], resources: ['podsecuritypolicies'], verbs: ['use'] }],
};

/** What only the API server writes; any of it may be there. */
const serverOwned = fc.record(
  {
    uid: fc.uuid(),
    resourceVersion: fc.nat().map(String),
    creationTimestamp: fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
    generation: fc.nat(),
    selfLink: fc.string(),
    managedFields: fc.array(fc.dictionary(fc.string(), fc.string())),
  },
  { requiredKeys: [] },
);

const stored = (object: KubernetesObject, more: object): KubernetesObject => ({
  ...object,
  metadata: { ...object.metadata, ...more },
});

void t.test('an object is in place whatever the API server adds of its own', (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(serverOwned, (more) => {
        const { apiVersion: _a, kind: _k, ...item } = stored(desired, more);
        return decide({ desired, observed: item, settled: undefined, fixedField: undefined }).kind === 'none';
      }),
      { numRuns: 200 },
    ),
  );
  t.end();
});

void t.test('whatever else is changed is put right', (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(serverOwned, fc.jsonValue(), (more, value) => {
        const observed = stored({ ...desired, rules: value }, more);
        const difference = firstDifference(desired.rules, value, 'rules');
        const action = decide({ desired, observed, settled: undefined, fixedField: undefined });
        if (difference === undefined) return action.kind === 'none';
        return action.kind === 'replace' && action.reason === `${difference} was altered`;
      }),
      { numRuns: 500 },
    ),
  );
  t.end();
});

void t.test('what changes the meaning of an object or of its deletion counts as altered', (t) => {
  const changes: readonly (readonly [object, string])[] = [
    [{ labels: { 'hamlet.internal/builtin': 'false' } }, 'metadata.labels.hamlet.internal/builtin'],
    [{ labels: { ...desired.metadata.labels, more: '1' } }, 'metadata.labels.more'],
    [{ annotations: { more: '1' } }, 'metadata.annotations.more'],
    [{ finalizers: ['example.com/stay'] }, 'metadata.finalizers'],
    [{ ownerReferences: [{}] }, 'metadata.ownerReferences'],
  ];
  for (const [change, where] of changes) {
    const action = decide({
      desired,
      observed: stored(desired, change),
      settled: undefined,
      fixedField: undefined,
    });
    t.same(action, { kind: 'replace', desired, reason: `${where} was altered` });
  }
  t.end();
});

void t.test('an object whose fixed field was altered is made anew, whatever else was altered', (t) => {
  const fixedField = 'roleRef';
  const bound = { ...desired, roleRef: { kind: 'ClusterRole', name: 'a' } };
  const act = (observed: KubernetesObject) =>
    decide({ desired: bound, observed, settled: undefined, fixedField });
  t.match(act(bound), { kind: 'none' });
  const other = { ...bound, roleRef: { ...bound.roleRef, name: 'b' } };
  t.match(act(other), { kind: 'remake', reason: 'roleRef.name was altered' });
  t.match(act(stored(other, { labels: {} })), { kind: 'remake' });
  t.match(act({ ...bound, rules: [] }), { kind: 'replace' });
  t.match(act(stored(other, { deletionTimestamp: '2021-01-13T13:20:00Z' })), { kind: 'replace' });
  t.end();
});

void t.test('a missing object is made', (t) => {
  t.match(decide({ desired, observed: undefined, settled: undefined, fixedField: undefined }), {
    kind: 'create',
  });
  t.match(decide({ desired, observed: undefined, settled: desired, fixedField: undefined }), {
    kind: 'create',
  });
  t.end();
});

void t.test('an object that is being deleted is not in place, even if it is unaltered', (t) => {
  const observed = stored(desired, { deletionTimestamp: '2021-01-13T13:20:00Z' });
  t.match(decide({ desired, observed, settled: desired, fixedField: undefined }), { kind: 'replace' });
  t.end();
});

void t.test('defaults that the API server fills in are accepted once it has answered with them', (t) => {
  const filledIn: KubernetesObject = { ...desired, defaulted: true };
  t.match(decide({ desired, observed: filledIn, settled: undefined, fixedField: undefined }), {
    kind: 'replace',
  });
  t.match(decide({ desired, observed: filledIn, settled: filledIn, fixedField: undefined }), {
    kind: 'none',
  });
  t.match(decide({ desired, observed: desired, settled: filledIn, fixedField: undefined }), { kind: 'none' });
  const altered = { ...filledIn, rules: [] };
  t.match(decide({ desired, observed: altered, settled: filledIn, fixedField: undefined }), {
    kind: 'replace',
  });
  t.end();
});

void t.test('of other objects only those with the label are removed', (t) => {
  const situation = (observed: KubernetesObject | undefined) =>
    decide({ desired: undefined, observed, settled: undefined, fixedField: undefined }).kind;
  t.equal(situation(undefined), 'none');
  t.equal(situation(desired), 'remove');
  t.equal(situation(stored(desired, { deletionTimestamp: '2021-01-13T13:20:00Z' })), 'none');
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.string()),
        (labels) => situation({ metadata: { name, labels } }) === 'none',
      ),
    ),
  );
  t.equal(situation({ metadata: { name } }), 'none');
  t.equal(situation({ metadata: { name, labels: { 'hamlet.internal/builtin': 'false' } } }), 'none');
  t.end();
});

void t.test('firstDifference() finds nothing in equal values and something in others', (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.jsonValue(), (value) => firstDifference(value, structuredClone(value)) === undefined),
      { numRuns: 300 },
    ),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        const isSame = firstDifference(a, b) === undefined;
        const isOfOneKind = a === null || b === null || typeof a === typeof b;
        return isSame === (firstDifference(b, a) === undefined) && (isOfOneKind || !isSame);
      }),
      { numRuns: 300 },
    ),
  );
  t.end();
});

void t.test('firstDifference() names the place', (t) => {
  const value = { a: [{ b: 1 }, { b: 2, c: null }] };
  t.equal(firstDifference(value, { a: [{ b: 1 }, { b: 2 }] }), undefined, 'null is like absent');
  t.equal(firstDifference(value, { a: [{ b: 1 }, { b: 3 }] }), 'a[1].b');
  t.equal(firstDifference(value, { a: [{ b: 1 }] }), 'a');
  t.equal(firstDifference(value, {}), 'a');
  t.equal(firstDifference(value, { ...value, d: 1 }), 'd');
  t.equal(firstDifference({ x: 1, y: 2 }, { y: 2, x: 1 }), undefined, 'the order of fields does not matter');
  t.equal(firstDifference([1, 2], [2, 1]), '[0]', 'the order of items does');
  t.equal(firstDifference(1, 2), 'it');
  t.equal(firstDifference([], {}), 'it');
  t.end();
});

void t.test('content() leaves out what depends on where an object came from', (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(serverOwned, serverOwned, (one, other) => {
        const here = content(stored(desired, one));
        const there = content(stored({ ...desired, status: {} }, other));
        return firstDifference(here, there) === undefined;
      }),
    ),
  );
  t.end();
});
