import t from 'tap';
import { checkNeeds } from '../../../src/supervision/needs.js';
import { newestMinor, oldestMinor } from '../../../src/platform/kubernetes-versions.js';
import { componentNames } from '../../../src/lib/names.js';
import { argumentsOf, policyOf } from './context.js';

/** The flags of a component's arguments, without their values. */
function flags(name: string, minor: number): string[] {
  return argumentsOf(name, { minor }).map((word) => word.split('=')[0] ?? '');
}

void t.test('every component has a policy, and what needs what makes sense', async (t) => {
  const all = Object.values(policyOf());
  t.same(all.map(({ name }) => name).sort(), [...componentNames].sort());
  t.doesNotThrow(() => checkNeeds(all));
  for (const {
    name,
    startTimeoutMs,
    stopPatienceMs,
    failureThreshold,
    probePeriodMs,
    probeTimeoutMs,
  } of all) {
    t.ok(startTimeoutMs > 0 && stopPatienceMs > 0 && failureThreshold > 0 && probeTimeoutMs > 0, name);
    // A hung component is to be noticed within half a minute.
    t.ok(failureThreshold * (probePeriodMs + probeTimeoutMs) <= 30_000, name);
  }
  const without = policyOf({ settings: { kubeProxy: { enabled: false } } });
  t.notOk('kube.proxy' in without);
  t.doesNotThrow(() => checkNeeds(Object.values(without)));
});

void t.test('no release gets an argument twice, or one that is empty', async (t) => {
  for (let minor = oldestMinor; minor <= newestMinor; minor++) {
    for (const name of componentNames) {
      const words = argumentsOf(name, { minor });
      const names = flags(name, minor);
      t.equal(new Set(names).size, names.length, `${name} of 1.${minor}: ${names.join(' ')}`);
      for (const word of words) t.notMatch(word, /undefined|null|\[object|NaN|=$/, `${name} of 1.${minor}`);
    }
  }
});

void t.test('a program is the multi-call binary and its name, or a binary of its own', async (t) => {
  const programs = {
    'kube.apiserver': 'kube-apiserver',
    'kube.controller-manager': 'kube-controller-manager',
    'kube.scheduler': 'kube-scheduler',
    'kube.proxy': 'kube-proxy',
    'kube.kubelet': 'kubelet',
  };
  const paths = Object.fromEntries(Object.values(programs).map((program) => [program, `/opt/${program}`]));
  const separate = policyOf({ components: { kube: { kind: 'separate', paths } } });
  for (const [name, program] of Object.entries(programs)) {
    t.same(policyOf()[name]?.command().argv.slice(0, 2), ['/cache/kube', program]);
    t.equal(separate[name]?.command().argv[0], `/opt/${program}`);
    t.notOk(separate[name]?.command().argv.includes(program));
  }
  const missing = policyOf({ components: { kube: { kind: 'separate', paths: {} } } });
  t.throws(() => missing['kube.apiserver']?.command(), {
    code: 'FAILED_PRECONDITION',
    message: /kube-apiserver/,
  });
});

/** The last release that has a flag, for what ended; the first, for what began. */
const ended: readonly (readonly [string, string, number])[] = [
  ['kube.apiserver', '--insecure-port', 23],
  ['kube.controller-manager', '--port', 23],
  ['kube.scheduler', '--port', 23],
  ['kube.kubelet', '--container-runtime', 26],
  ['kube.kubelet', '--container-runtime-endpoint', 26],
  ['kube.kubelet', '--pod-infra-container-image', 34],
];

void t.test('a flag that ended is given up to its last release, and not after it', async (t) => {
  for (const [name, flag, last] of ended) {
    t.ok(flags(name, oldestMinor).includes(flag), `${flag} in 1.${oldestMinor}`);
    t.ok(flags(name, last).includes(flag), `${flag} in 1.${last}`);
    t.notOk(flags(name, last + 1).includes(flag), `${flag} in 1.${last + 1}`);
    t.notOk(flags(name, newestMinor).includes(flag), `${flag} in 1.${newestMinor}`);
  }
});

void t.test(
  'pod security is PodSecurityPolicy up to 1.24, and Pod Security admission after it',
  async (t) => {
    const admission = (minor: number) =>
      argumentsOf('kube.apiserver', { minor }).filter((word) => word.includes('admission'));
    t.same(admission(24), ['--enable-admission-plugins=NodeRestriction,PodSecurityPolicy']);
    t.same(admission(25), [
      '--enable-admission-plugins=NodeRestriction',
      '--admission-control-config-file=/run/node/admission.json',
    ]);
  },
);

void t.test('the API server is authorized by Node and RBAC, and reaches etcd by its socket', async (t) => {
  const words = argumentsOf('kube.apiserver', {
    settings: { network: { serviceCidr: '10.97.0.0/16' }, ports: { apiserver: 7443 } },
  });
  for (const word of [
    '--authorization-mode=Node,RBAC',
    '--advertise-address=192.0.2.7',
    '--secure-port=7443',
    '--insecure-port=0',
    '--etcd-servers=unix:////run/node/etcd/client:0',
    '--service-cluster-ip-range=10.97.0.0/16',
    '--kubelet-preferred-address-types=InternalIP,Hostname',
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
  ]) {
    t.ok(words.includes(word), word);
  }
});

void t.test(
  'every key lies on the ramfs of its component, or among the four files of the kubelet',
  async (t) => {
    for (const name of componentNames) {
      const component = policyOf()[name];
      const files = argumentsOf(name).filter((word) => /\.(key|crt|pub)$|kubeconfig=/.test(word));
      const folder = { none: '', ramfs: `/run/node/secrets/${name}/`, state: '/state/pki/' }[
        component?.credentials ?? 'none'
      ];
      t.equal(files.length > 0, folder !== '' && name !== 'kube.proxy', name);
      for (const word of files) t.ok(word.split('=')[1]?.startsWith(folder), word);
    }
  },
);

void t.test('what listens without authentication does so on loopback', async (t) => {
  for (const name of ['kube.controller-manager', 'kube.scheduler']) {
    t.ok(argumentsOf(name).includes('--bind-address=127.0.0.1'), name);
  }
  for (const word of argumentsOf('etcd').filter((word) => word.includes('-urls=')))
    t.match(word, /=unix:\/\/\w+:0$/);
});
