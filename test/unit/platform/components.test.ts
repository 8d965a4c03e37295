import t from 'tap';
import { isAtLeast, parseKubernetesVersion } from '../../../src/platform/components.js';

void t.test('versions as binaries print them', async (t) => {
  const cases: Record<string, object> = {
    'Kubernetes v1.20.2\n': { major: 1, minor: 20, patch: 2, text: 'v1.20.2' },
    'Kubernetes v1.36.0-rc.1\n': { major: 1, minor: 36, patch: 0, text: 'v1.36.0-rc.1' },
    'Kubernetes v1.31.4+vendor2': { major: 1, minor: 31, patch: 4, text: 'v1.31.4+vendor2' },
    'Kubernetes v1.27.3-gke.100+ab\nmore': { major: 1, minor: 27, patch: 3, text: 'v1.27.3-gke.100+ab' },
  };
  for (const [output, version] of Object.entries(cases)) t.same(parseKubernetesVersion(output), version);
  for (const output of ['', 'v1.20', 'Kubernetes 1.20.2', 'Kubernetes v1.x.2', 'rev1.20.2']) {
    t.equal(parseKubernetesVersion(output), undefined, JSON.stringify(output));
  }
});

void t.test('releases are compared by number', async (t) => {
  const version = { major: 1, minor: 25, patch: 0, text: 'v1.25.0' };
  t.ok(isAtLeast(version, 1, 25));
  t.ok(isAtLeast(version, 1, 9));
  t.notOk(isAtLeast(version, 1, 100));
  t.ok(isAtLeast({ ...version, major: 2, minor: 0 }, 1, 25));
});
