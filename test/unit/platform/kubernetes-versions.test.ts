import t from 'tap';
import { isHamletError } from '../../../src/lib/errors.js';
import {
  features,
  kubernetesChanges,
  newestMinor,
  oldestMinor,
  type Feature,
} from '../../../src/platform/kubernetes-versions.js';

const release = (minor: number) => features({ major: 1, minor });

/** The releases on both sides of each edge, written out once more by hand: the table may not change unseen. */
const lastWith: readonly (readonly [Feature, number])[] = [
  ['insecurePortFlag', 23],
  ['kubeletHttpsFlag', 21],
  ['podSecurityPolicy', 24],
  ['policyV1beta1', 24],
  ['tokenSecrets', 23],
  ['componentPortFlag', 23],
  ['containerRuntimeFlag', 26],
  ['containerRuntimeEndpointFlag', 26],
  ['podInfraImageFlag', 34],
  ['networkPluginFlags', 23],
  ['dynamicConfigFlag', 23],
  ['criV1alpha2', 25],
  ['conntrackProgram', 31],
  ['klogFlags', 25],
];
const firstWith: readonly (readonly [Feature, number])[] = [
  ['podSecurityAdmission', 25],
  ['boundServiceAccountTokens', 21],
  ['encryptionConfigReload', 26],
  ['registerWithTaintsField', 23],
  ['podLogsDirField', 30],
  ['failCgroupV1', 35],
];

void t.test('what ended is there in the last release that had it, and not in the next', (t) => {
  for (const [feature, minor] of lastWith) {
    t.equal(release(minor)[feature], true, `${feature} in 1.${minor}`);
    t.equal(release(minor + 1)[feature], false, `${feature} in 1.${minor + 1}`);
  }
  t.end();
});

void t.test('what began is there from its first release on', (t) => {
  for (const [feature, minor] of firstWith) {
    t.equal(release(minor - 1)[feature], false, `${feature} in 1.${minor - 1}`);
    t.equal(release(minor)[feature], true, `${feature} in 1.${minor}`);
  }
  t.end();
});

void t.test('every line of the table is tested above and changes within the range', (t) => {
  const tested = [...lastWith, ...firstWith].map(([feature]) => feature);
  t.same(tested.sort(), Object.keys(kubernetesChanges).sort());
  for (const feature of tested) {
    t.not(release(oldestMinor)[feature], release(newestMinor)[feature], feature);
  }
  t.end();
});

void t.test('policy and admission hand over without a gap', (t) => {
  for (let minor = oldestMinor; minor <= newestMinor; minor++) {
    const { podSecurityPolicy, podSecurityAdmission } = release(minor);
    t.not(podSecurityPolicy, podSecurityAdmission, `1.${minor} has exactly one of the two`);
  }
  t.end();
});

void t.test('a release newer than the table is like the newest in it', (t) => {
  t.same(release(newestMinor + 5), release(newestMinor));
  t.end();
});

void t.test('what is older than 1.20 or not Kubernetes 1 is refused by name', (t) => {
  const refused = (error: unknown) => isHamletError(error, 'FAILED_PRECONDITION');
  for (const [major, minor] of [
    [1, 19],
    [0, 36],
    [2, 0],
  ] as const) {
    try {
      features({ major, minor });
      t.fail(`${major}.${minor} was accepted`);
    } catch (error) {
      t.ok(refused(error));
      t.match(error, { message: `Kubernetes ${major}.${minor}` });
    }
  }
  t.end();
});
