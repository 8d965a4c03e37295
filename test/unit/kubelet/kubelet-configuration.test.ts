import t from 'tap';
import { kubeletConfiguration } from '../../../src/workers/kubelet/kubelet-configuration.js';
import { makeContext, type Choices } from './context.js';

const places = {
  volumePluginDir: '/run/node/volume-plugins',
  endpoint: 'unix:///run/node/containerd/containerd.sock',
};
const configuration = (choices: Choices = {}): Readonly<Record<string, unknown>> =>
  kubeletConfiguration(makeContext(choices), places);

void t.test('the kubelet is configured as the node promises', async (t) => {
  t.match(configuration(), {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    port: 10_250,
    readOnlyPort: 0,
    healthzBindAddress: '127.0.0.1',
    tlsCertFile: '/state/pki/kubelet.crt',
    tlsPrivateKeyFile: '/state/pki/kubelet.key',
    tlsMinVersion: 'VersionTLS13',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: false },
      x509: { clientCAFile: '/state/pki/ca.crt' },
    },
    authorization: { mode: 'Webhook' },
    clusterDNS: ['10.96.0.10'],
    clusterDomain: 'cluster.local',
    enableControllerAttachDetach: false,
    hairpinMode: 'none',
    makeIPTablesUtilChains: false,
    failSwapOn: false,
    kubeReserved: { cpu: '200m', memory: '300Mi' },
    volumePluginDir: '/run/node/volume-plugins',
  });
});

void t.test('ports, DNS and domain come from the configuration', async (t) => {
  const settings = {
    ports: { kubelet: 11_250, kubeletHealth: 11_248 },
    network: { clusterDns: ['192.0.2.53'], clusterDomain: 'test.internal' },
  };
  t.match(configuration({ settings }), {
    port: 11_250,
    healthzPort: 11_248,
    clusterDNS: ['192.0.2.53'],
    clusterDomain: 'test.internal',
  });
});

void t.test('the cgroup driver is the one that the machine needs', async (t) => {
  t.equal(configuration({ machine: { cgroupDriver: 'systemd' } }).cgroupDriver, 'systemd');
  t.equal(configuration({ machine: { cgroupDriver: 'cgroupfs' } }).cgroupDriver, 'cgroupfs');
});

void t.test('cgroup v1 is allowed where the kubelet would refuse it, and the setting exists', async (t) => {
  const setting = (minor: number, cgroups: 'v1' | 'hybrid' | 'v2') =>
    configuration({ minor, machine: { cgroups } }).failCgroupV1;
  t.equal(setting(35, 'v1'), false);
  t.equal(setting(36, 'hybrid'), false);
  t.equal(setting(36, 'v2'), undefined);
  t.equal(setting(34, 'v1'), undefined);
});

void t.test('the socket of the runtime is in the configuration when it is no flag any more', async (t) => {
  t.equal(configuration({ minor: 26 }).containerRuntimeEndpoint, undefined);
  t.equal(configuration({ minor: 27 }).containerRuntimeEndpoint, places.endpoint);
});

void t.test('nothing in it is undefined: it is written as JSON', async (t) => {
  for (const minor of [20, 27, 36]) {
    const settings = configuration({ minor, machine: { cgroups: 'v1' } });
    t.same(JSON.parse(JSON.stringify(settings)), settings);
  }
});
