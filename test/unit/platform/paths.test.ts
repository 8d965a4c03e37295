import path from 'node:path';
import t from 'tap';
import { containerdSocket, etcdSocket, pathsFor, runPaths } from '../../../src/platform/paths.js';

void t.test('the default layout keeps everything below two folders', async (t) => {
  t.same(pathsFor({ layout: 'default' }), {
    state: '/var/lib/hamlet',
    run: '/run/hamlet',
    etcd: '/var/lib/hamlet/etcd',
    containerd: '/var/lib/hamlet/containerd',
    kubelet: '/var/lib/hamlet/kubelet',
    kubeletPki: '/var/lib/hamlet/pki',
    images: '/var/lib/hamlet/images',
    cni: '/var/lib/hamlet/cni',
    etc: '/etc',
  });
  const { etc, run, ...state } = pathsFor({
    layout: 'default',
    state: '/srv/a/../node/',
    run: '/r',
  });
  t.equal(run, '/r');
  for (const folder of Object.values(state))
    t.ok(folder === '/srv/node' || folder.startsWith('/srv/node/'), folder);
  t.equal(etc, '/etc');
});

void t.test('the appliance layout has the mount points of its image', async (t) => {
  t.same(pathsFor({ layout: 'appliance' }), {
    state: '/data',
    run: '/run/hamlet',
    etcd: '/consensus',
    containerd: '/containerd',
    kubelet: '/kubernetes',
    kubeletPki: '/kubernetes/pki',
    images: '/data/images',
    cni: '/data/cni',
    etc: '/etc',
  });
});

void t.test(
  'everything at run time lies below the run folder, each thing in a place of its own',
  async (t) => {
    const places = Object.values(runPaths('/run/node'));
    t.equal(new Set(places).size, places.length);
    for (const place of places) t.equal(path.dirname(place), '/run/node');
    t.equal(path.dirname(etcdSocket('/run/node')), runPaths('/run/node').etcd);
    t.equal(path.dirname(containerdSocket('/run/node')), runPaths('/run/node').containerd);
  },
);
