import t from 'tap';
import { features, newestMinor, oldestMinor } from '../../../src/platform/kubernetes-versions.js';
import { pathOf } from '../../../src/workers/reconciler/object.js';
import { builtinKinds } from '../../../src/workers/reconciler/objects/index.js';

/** "Kind name" of everything that a release gets. */
function namesFor(minor: number): string[] {
  const release = features({ major: 1, minor });
  return builtinKinds
    .filter((kind) => kind.served(release))
    .flatMap((kind) => kind.objects(release).map((object) => `${kind.kind} ${object.metadata.name}`));
}

void t.test('the objects follow the release', (t) => {
  for (let minor = oldestMinor; minor <= newestMinor; minor++) {
    const always = ['ClusterRoleBinding hamlet:apiserver-kubelet-client'];
    const untilPoliciesEnd = [
      'PodSecurityPolicy default',
      'ClusterRole hamlet:psp-default',
      ...always,
      'ClusterRoleBinding hamlet:default-psp-for-sa',
    ];
    t.same(namesFor(minor), minor < 25 ? untilPoliciesEnd : always, `1.${minor}`);
  }
  t.end();
});

void t.test('roles and bindings are looked at in every release, so that old ones are taken away', (t) => {
  const watched = builtinKinds.filter((kind) => kind.served(features({ major: 1, minor: newestMinor })));
  t.same(
    watched.map(({ kind }) => kind),
    ['ClusterRole', 'ClusterRoleBinding'],
  );
  t.end();
});

void t.test('all of them carry the label and say what they are', (t) => {
  const release = features({ major: 1, minor: oldestMinor });
  for (const kind of builtinKinds) {
    for (const object of kind.objects(release)) {
      const { apiVersion, kind: itsKind, metadata } = object;
      t.same({ apiVersion, kind: itsKind }, { apiVersion: kind.apiVersion, kind: kind.kind });
      t.same(metadata.labels, { 'hamlet.internal/builtin': 'true' });
      if (kind.apiVersion.startsWith('rbac.')) t.match(metadata.name, /^hamlet:/);
    }
  }
  t.end();
});

void t.test('every role that is bound exists: it is ours or one of Kubernetes', (t) => {
  for (const minor of [oldestMinor, newestMinor]) {
    const release = features({ major: 1, minor });
    const roles = new Set(namesFor(minor));
    const bindings = builtinKinds.find(({ kind }) => kind === 'ClusterRoleBinding')?.objects(release) ?? [];
    t.not(bindings.length, 0);
    for (const { metadata, roleRef } of bindings) {
      const { name } = roleRef as { name: string };
      t.ok(name.startsWith('system:') || roles.has(`ClusterRole ${name}`), `${metadata.name}: ${name}`);
    }
  }
  t.end();
});

void t.test('pathOf() is the URL path of a collection or of one object', (t) => {
  const kind = { apiVersion: 'policy/v1beta1', plural: 'podsecuritypolicies' };
  t.equal(pathOf(kind), '/apis/policy/v1beta1/podsecuritypolicies');
  t.equal(pathOf(kind, 'hamlet:a/b'), '/apis/policy/v1beta1/podsecuritypolicies/hamlet%3Aa%2Fb');
  t.end();
});
